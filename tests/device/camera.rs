//! A camera on a named pipe, which shows what a test wants.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::scenes::{SIZE, grey, scenes};

/// Between two frames.
const FRAME: Duration = Duration::from_millis(30);

/// What the camera gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    Normal,
    Unusual,
    /// These bytes with each frame.
    Bytes(Vec<u8>),
    /// These, one after the other.
    Files(Vec<Vec<u8>>),
    /// Nothing, but its program lives.
    Silence,
    /// Its program ends, and ends again whenever it is started.
    Gone,
}

impl Show {
    /// Pictures of one grey, which are not the same twice in a row.
    pub fn grey(levels: [u8; 2]) -> Show {
        Show::Files(levels.map(|level| grey(SIZE, level)).to_vec())
    }
}

pub struct Camera {
    path: PathBuf,
    show: Arc<Mutex<Show>>,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Camera {
    /// A camera that shows normal frames.
    pub fn new(dir: &Path) -> Camera {
        let path = dir.join("camera");
        let (file, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, &path, file, mode, 0).unwrap();
        let show = Arc::new(Mutex::new(Show::Normal));
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (path, show, sent, stop) = (path.clone(), show.clone(), sent.clone(), stop.clone());
            move || {
                while !stop.load(SeqCst) {
                    play(&path, &show, &sent, &stop);
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Camera { path, show, sent, stop, thread: Some(thread) }
    }

    /// The source that the configuration names.
    pub fn source(&self) -> String {
        format!("pipe:/bin/cat {}", self.path.display())
    }

    pub fn show(&self, show: Show) {
        *self.show.lock().unwrap() = show;
    }

    /// Frames that were written so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }
}

/// Writes frames to whoever reads the pipe, until he does not any more or the camera is gone.
fn play(path: &Path, show: &Mutex<Show>, sent: &AtomicU64, stop: &AtomicBool) {
    // Without a reader this fails.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let opened = File::options().write(true).custom_flags(nonblock).open(path);
    let Ok(mut pipe) = opened else { return };
    rustix::io::ioctl_fionbio(&pipe, false).unwrap();
    for turn in 0.. {
        if stop.load(SeqCst) {
            return;
        }
        let now = show.lock().unwrap().clone();
        let bytes = match &now {
            Show::Normal => &scenes().normal[turn % scenes().normal.len()],
            Show::Unusual => &scenes().unusual[turn % scenes().unusual.len()],
            Show::Bytes(bytes) => bytes,
            Show::Files(files) => &files[turn % files.len()],
            Show::Silence => &Vec::new(),
            Show::Gone => return,
        };
        if pipe.write_all(bytes).is_err() {
            return;
        }
        sent.fetch_add(u64::from(!bytes.is_empty()), SeqCst);
        thread::sleep(FRAME);
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        // The thread may wait in a pipe that nobody reads: it ends with the test program.
        drop(self.thread.take());
    }
}
