//! Class labels from the folders that pictures lie in.
//!
//! Leading folders that all pictures share are stripped; the next folder is the class. Pictures
//! that all lie in one folder have no labels: one folder is no classification.

use std::collections::HashMap;

/// Class of each picture and the classes' names in sorted order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    pub classes: Vec<String>,
    pub labels: Vec<u32>,
}

/// Collects pictures' folders one by one; labels are known when all have been seen.
#[derive(Debug, Default)]
pub struct Labeller {
    folders: Vec<String>,
    index: HashMap<String, u32>,
    of_picture: Vec<u32>,
}

/// Pictures lie both in class folders and beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mixed {
    /// The folder that holds both.
    pub folder: String,
}

impl Labeller {
    /// Notes the next picture by its `/`-separated path.
    pub fn push(&mut self, name: &str) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let index = match self.index.get(folder) {
            Some(&index) => index,
            None => {
                let index = self.folders.len() as u32;
                self.folders.push(folder.to_string());
                self.index.insert(folder.to_string(), index);
                index
            }
        };
        self.of_picture.push(index);
    }

    /// Labels of all pictures; `None` when they lie in one folder.
    pub fn finish(self) -> Result<Option<Labels>, Mixed> {
        if self.folders.len() < 2 {
            return Ok(None);
        }
        let parts: Vec<Vec<&str>> = self.folders.iter().map(|f| split(f)).collect();
        let shared = (0..)
            .take_while(|&i| {
                parts[0].get(i).is_some_and(|first| parts.iter().all(|p| p.get(i) == Some(first)))
            })
            .count();
        let classes: Option<Vec<&str>> = parts.iter().map(|p| p.get(shared).copied()).collect();
        let Some(class_of_folder) = classes else {
            return Err(Mixed { folder: parts[0][..shared].join("/") });
        };
        let mut classes = class_of_folder.clone();
        classes.sort_unstable();
        classes.dedup();
        let label = |folder: &u32| {
            let class = class_of_folder[*folder as usize];
            classes.partition_point(|c| *c < class) as u32
        };
        let labels = self.of_picture.iter().map(label).collect();
        Ok(Some(Labels { classes: classes.into_iter().map(String::from).collect(), labels }))
    }
}

fn split(folder: &str) -> Vec<&str> {
    if folder.is_empty() { Vec::new() } else { folder.split('/').collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Result<Option<Labels>, Mixed> {
        let mut labeller = Labeller::default();
        names.iter().for_each(|name| labeller.push(name));
        labeller.finish()
    }

    #[test]
    fn classes_are_sorted_whatever_the_order_of_pictures() {
        let found = labels(&["truck/1.png", "cat/1.png", "truck/2.png"]).unwrap().unwrap();
        assert_eq!(found.classes, ["cat", "truck"]);
        assert_eq!(found.labels, [1, 0, 1]);
    }

    #[test]
    fn folders_around_the_classes_are_stripped() {
        let found = labels(&["set/train/b/x/1.png", "set/train/a/2.png"]).unwrap().unwrap();
        assert_eq!(found.classes, ["a", "b"]);
        assert_eq!(found.labels, [1, 0]);
    }

    #[test]
    fn one_folder_is_no_classification() {
        assert_eq!(labels(&["1.png", "2.png"]), Ok(None));
        assert_eq!(labels(&["normal/1.png", "normal/2.png"]), Ok(None));
    }

    #[test]
    fn pictures_beside_class_folders_are_an_error() {
        assert_eq!(labels(&["set/a/1.png", "set/2.png"]), Err(Mixed { folder: "set".into() }));
    }
}
