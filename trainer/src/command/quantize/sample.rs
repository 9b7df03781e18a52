//! Pictures to calibrate with, and others to measure on.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use anyhow::{Result, bail, ensure};
use oddsight::backbone::{Backbone, Normalise};
use oddsight::image::{self, Rgb};
use oddsight_train::compare::{Top1, has_classes};
use oddsight_train::features::Input;
use oddsight_train::labels::{Labeller, Labels};
use oddsight_train::progress::Progress;
use oddsight_train::score::named_class;
use oddsight_train::source::{Pictures, Raw};

/// Unreadable pictures that are named; the rest are counted.
const NAMED: usize = 10;

/// Pictures to calibrate with, and others to measure on, under their names.
pub struct Sample {
    pub calibration: Vec<Rgb>,
    pub others: Vec<(String, Rgb)>,
}

impl Sample {
    /// At most `most` pictures for each. Takes them alternately for the one and the other, so that a source in the order of its
    /// classes gives both the same classes.
    pub fn read(text: &str, most: usize, keep_going: bool, input: &Input) -> Result<Sample> {
        let mut source = Pictures::open(text)?;
        let wanted = 2 * most;
        // Of `count` pictures, `wanted` at equal distances; all where their number is not known.
        let count = source.count().map_or(wanted, |count| wanted.max(count as usize));
        let mut progress = Progress::new(
            text,
            Some(source.count().map_or(wanted, |c| wanted.min(c as usize)) as u64),
        );
        let mut sample = Sample { calibration: Vec::new(), others: Vec::new() };
        let (mut index, mut unreadable) = (0, 0);
        while sample.calibration.len() + sample.others.len() < wanted {
            let Some(raw) = source.next_raw() else { break };
            index += 1;
            let raw = raw?;
            if (index - 1) * wanted % count >= wanted {
                continue;
            }
            progress.tick();
            match raw.map_err(|e| e.why).and_then(|raw| prepare(raw, input)) {
                Ok((_, picture)) if sample.calibration.len() <= sample.others.len() => {
                    sample.calibration.push(picture);
                }
                Ok(other) => sample.others.push(other),
                Err(why) => {
                    unreadable += 1;
                    if unreadable <= NAMED {
                        log::warn!("skipped {why}");
                    }
                }
            }
        }
        progress.finish();
        let read = sample.calibration.len() + sample.others.len();
        ensure!(read > 0, "{text}: no picture could be read ({unreadable} are unreadable)");
        if unreadable * 100 > read + unreadable && !keep_going {
            bail!(
                "{text}: {unreadable} of {} pictures are unreadable, more than 1 %; \
                 mend them, or go on without them with --keep-going",
                read + unreadable
            );
        }
        Ok(sample)
    }

    fn labels(&self) -> Result<Option<Labels>> {
        let mut labeller = Labeller::default();
        self.others.iter().for_each(|(name, _)| labeller.push(name));
        match labeller.finish() {
            Ok(labels) => Ok(labels),
            Err(mixed) => bail!(
                "folder `{}` holds both class folders and pictures; move the pictures into a class \
                 folder, or the class folders away",
                mixed.folder
            ),
        }
    }

    /// Top-1 on the others, when their folders are the backbones' classes.
    pub fn top1(
        &self,
        float: &Backbone,
        int8: &Backbone,
        how: &Normalise,
        threads: NonZeroUsize,
    ) -> Result<Option<Top1>> {
        let Some(labels) = self.labels()? else { return Ok(None) };
        if !has_classes(labels.classes.len(), float.classes()) {
            return Ok(None);
        }
        let progress = Mutex::new(Progress::new("measuring top-1", Some(self.others.len() as u64)));
        let name = |pictures: &[(String, Rgb)]| -> Result<Vec<[u32; 2]>> {
            let (mut float, mut int8) = (float.state(how)?, int8.state(how)?);
            let each = pictures.iter().map(|(_, picture)| {
                let float = named_class(&float.run(picture)?.logits);
                let int8 = named_class(&int8.run(picture)?.logits);
                if let Ok(mut progress) = progress.lock() {
                    progress.tick();
                }
                Ok([float, int8])
            });
            each.collect()
        };
        let parts = self.others.chunks(self.others.len().div_ceil(threads.get()));
        let named = std::thread::scope(|scope| {
            let name = &name;
            let workers: Vec<_> = parts.map(|part| scope.spawn(move || name(part))).collect();
            let join = workers.into_iter().map(|worker| worker.join());
            join.map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Result<Vec<_>>>()
        })?;
        if let Ok(progress) = progress.into_inner() {
            progress.finish();
        }
        Ok(Some(Top1::of(&labels.labels, &named.concat())))
    }
}

fn prepare(raw: Raw, input: &Input) -> Result<(String, Rgb), String> {
    let Raw { name, content } = raw;
    let picture = content.decode().and_then(|picture| image::prepare(&picture, &input.preprocess));
    match picture {
        Ok(picture) => Ok((name, picture)),
        Err(e) => Err(format!("{name}: {e}")),
    }
}
