//! A clock that jumps when it is told.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use daybook_events::{Clock, Timestamp};

/// How often it is looked whether the clock has to jump.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The real clock, off by as many seconds as a file says.
pub(super) struct Jumping {
    clock: Arc<dyn Clock>,
    off: Arc<AtomicI64>,
}

impl Jumping {
    pub(super) fn new(clock: Arc<dyn Clock>, file: PathBuf) -> Self {
        let off = Arc::new(AtomicI64::new(seconds(&file)));
        let told = Arc::clone(&off);
        // It ends with the process.
        thread::spawn(move || {
            loop {
                told.store(seconds(&file), Ordering::Relaxed);
                thread::sleep(LOOK_EVERY);
            }
        });
        Self { clock, off }
    }
}

/// What the file says; nothing where it says none.
fn seconds(file: &PathBuf) -> i64 {
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        let off = self.off.load(Ordering::Relaxed).saturating_mul(1_000_000);
        Timestamp::from_micros(self.clock.now().micros().saturating_add(off))
    }
}
