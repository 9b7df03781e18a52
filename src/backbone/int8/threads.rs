//! Threads that share the rows of one map.

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::step::{Step, Workspace};

/// How many threads compute a frame. The pool lives as long as its users.
#[derive(Clone, Default)]
pub struct Threads(Option<Arc<ThreadPool>>);

/// Below so many multiply-accumulates, or so many values, a step is not worth the hand-over of its
/// rows, which costs some microseconds.
const WORTH_MACS: u64 = 400_000;
const WORTH_VALUES: usize = 32_768;

impl Threads {
    /// The caller's thread alone.
    pub const ONE: Threads = Threads(None);

    /// A pool of `count` threads (the caller's thread alone for 1 or 0), or what the system says
    /// against it.
    pub fn new(count: usize) -> std::io::Result<Threads> {
        if count <= 1 {
            return Ok(Threads::ONE);
        }
        let named = |i| format!("rows-{i}");
        let pool = ThreadPoolBuilder::new().num_threads(count).thread_name(named).build();
        Ok(Threads(Some(Arc::new(pool.map_err(std::io::Error::other)?))))
    }

    /// Threads that compute.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |pool| pool.current_num_threads())
    }

    /// Runs a frame's work where its steps can be shared.
    pub(super) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            None => work(),
            Some(pool) => pool.install(work),
        }
    }
}

/// Runs a step on as many threads as there are workspaces.
pub(super) fn run_rows(
    step: &Step,
    inputs: [&[i8]; 2],
    output: &mut [i8],
    workspaces: &mut [Workspace],
) {
    let map = step.output();
    let worth = step.macs() >= WORTH_MACS || output.len() >= WORTH_VALUES;
    let threads = if worth { workspaces.len() } else { 1 };
    split(step, inputs, 0..map.height, output, &mut workspaces[..threads]);
}

fn split(
    step: &Step,
    inputs: [&[i8]; 2],
    rows: std::ops::Range<usize>,
    output: &mut [i8],
    workspaces: &mut [Workspace],
) {
    let left = workspaces.len() / 2;
    // Winograd's tiles are two rows high: an odd cut would compute a tile twice.
    let middle = (rows.len() * left / workspaces.len()).next_multiple_of(2);
    if left == 0 || middle == 0 || middle >= rows.len() {
        step.run(inputs, rows, output, &mut workspaces[0]);
        return;
    }
    let row = output.len() / rows.len();
    let (first, second) = (rows.start..rows.start + middle, rows.start + middle..rows.end);
    let (first_output, second_output) = output.split_at_mut(middle * row);
    let (first_space, second_space) = workspaces.split_at_mut(left);
    rayon::join(
        || split(step, inputs, first, first_output, first_space),
        || split(step, inputs, second, second_output, second_space),
    );
}
