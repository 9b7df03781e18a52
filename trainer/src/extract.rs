//! From a source of pictures to features, on all cores, in the source's order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::{Context as _, Result, bail, ensure};
use oddsight::backbone::{Backbone, Features, State};
use oddsight::image;
use oddsight::model::hex;
use sha2::{Digest as _, Sha256};

use crate::features::Input;
use crate::labels::{Labeller, Labels};
use crate::progress::Progress;
use crate::source::{Pictures, Raw, Unreadable};

/// More unreadable pictures than this share of all are an error.
const UNREADABLE_SHARE: f64 = 0.01;
/// Unreadable pictures that are named; the rest are counted.
const NAMED: usize = 10;

/// How to extract.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub threads: NonZeroUsize,
    /// Go on however many pictures are unreadable.
    pub keep_going: bool,
}

/// What an extraction found beside the features.
pub struct Summary {
    /// Pictures that gave features.
    pub read: usize,
    /// Pictures that could not be read.
    pub unreadable: usize,
    /// SHA-256 over the pictures' names and SHA-256s, in order: it names the data.
    pub sha256: String,
    /// Labels, or the folder in which pictures lie beside class folders.
    pub labels: Result<Option<Labels>, crate::labels::Mixed>,
}

/// Runs every picture of a source through the backbone and hands the features to `sink` in the
/// source's order, whatever the number of threads.
pub fn extract(
    text: &str,
    backbone: &Backbone,
    input: &Input,
    options: Options,
    mut sink: impl FnMut(String, &Features) -> Result<()>,
) -> Result<Summary> {
    let pictures = Pictures::open(text)?;
    let mut progress = Progress::new(text, pictures.count());
    let states = (0..options.threads.get())
        .map(|_| Ok(backbone.state(&input.normalise)?))
        .collect::<Result<Vec<State>>>()?;
    let queue = Mutex::new(Queue { pictures, next: 0, ended: false });
    // Bounded, so that a slow sink does not let finished rows pile up.
    let (send, receive) = sync_channel(states.len() * 4);
    let summary = std::thread::scope(|scope| {
        for mut state in states {
            let (queue, send) = (&queue, send.clone());
            scope.spawn(move || {
                while let Some((index, raw)) = pull(queue) {
                    let done = raw.map(|raw| raw.and_then(|raw| run(raw, &mut state, input)));
                    if send.send((index, done)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        collect(receive, &mut progress, &mut sink)
    })?;
    progress.finish();
    check(text, &summary, options)?;
    Ok(summary)
}

struct Queue {
    pictures: Pictures,
    next: u64,
    ended: bool,
}

struct Extracted {
    name: String,
    sha256: [u8; 32],
    features: Features,
}

type Outcome = Result<Result<Extracted, Unreadable>>;

fn pull(queue: &Mutex<Queue>) -> Option<(u64, Result<Result<Raw, Unreadable>>)> {
    let mut queue = queue.lock().ok()?;
    if queue.ended {
        return None;
    }
    let raw = queue.pictures.next_raw();
    queue.ended = !matches!(raw, Some(Ok(_)));
    let index = queue.next;
    queue.next += 1;
    raw.map(|raw| (index, raw))
}

fn run(raw: Raw, state: &mut State, input: &Input) -> Result<Extracted, Unreadable> {
    let Raw { name, content } = raw;
    let sha256 = content.sha256();
    let features = content
        .decode()
        .and_then(|picture| image::prepare(&picture, &input.preprocess))
        .map_err(|e| e.to_string())
        .and_then(|picture| state.run(&picture).map_err(|e| e.to_string()));
    match features {
        Ok(features) => Ok(Extracted { name, sha256, features }),
        Err(why) => Err(Unreadable { why: format!("{name}: {why}") }),
    }
}

fn collect(
    receive: Receiver<(u64, Outcome)>,
    progress: &mut Progress,
    sink: &mut impl FnMut(String, &Features) -> Result<()>,
) -> Result<Summary> {
    let mut labeller = Labeller::default();
    let mut data = Sha256::new();
    let (mut read, mut unreadable, mut next) = (0, 0, 0);
    let mut early = BTreeMap::new();
    for (index, outcome) in receive {
        early.insert(index, outcome);
        while let Some(outcome) = early.remove(&next) {
            next += 1;
            match outcome? {
                Ok(Extracted { name, sha256, features }) => {
                    labeller.push(&name);
                    data.update(name.as_bytes());
                    data.update(sha256);
                    sink(name, &features)?;
                    read += 1;
                }
                Err(Unreadable { why }) => {
                    unreadable += 1;
                    if unreadable <= NAMED {
                        log::warn!("skipped {why}");
                    }
                }
            }
            progress.tick();
        }
    }
    let sha256 = hex(&data.finalize());
    Ok(Summary { read, unreadable, sha256, labels: labeller.finish() })
}

fn check(text: &str, summary: &Summary, options: Options) -> Result<()> {
    let Summary { read, unreadable, .. } = *summary;
    if unreadable > NAMED {
        log::warn!("{text}: skipped {unreadable} unreadable pictures, the first {NAMED} are named");
    }
    ensure!(read > 0, "{text}: no picture could be read ({unreadable} are unreadable)");
    if unreadable as f64 > UNREADABLE_SHARE * (read + unreadable) as f64 && !options.keep_going {
        bail!(
            "{text}: {unreadable} of {} pictures are unreadable, more than 1 %; \
             mend them, or go on without them with --keep-going",
            read + unreadable
        );
    }
    Ok(())
}

/// Threads to use when the user does not say: one per core.
pub fn default_threads() -> Result<NonZeroUsize> {
    std::thread::available_parallelism().context("counting cores; give --threads")
}
