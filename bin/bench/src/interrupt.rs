//! A run that is asked to end ends in order: its children are ended and its folders removed on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{BenchError, Doing};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// How long a request to end may go unnoticed.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Begins to listen for SIGINT and SIGTERM.
///
/// # Errors
/// Where the operating system refuses.
pub(crate) fn listen() -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("listening for signals")?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).doing("listening for SIGINT")?;
        (interrupt, signal(SignalKind::terminate()).doing("listening for SIGTERM")?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        REQUESTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Fails once the run was asked to end.
pub(crate) fn check() -> Result<(), BenchError> {
    if REQUESTED.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
}

/// Returns once the run was asked to end.
pub(crate) async fn requested() -> BenchError {
    loop {
        if let Err(interrupted) = check() {
            return interrupted;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Sleeps, but not past a request to end.
pub(crate) fn sleep(duration: Duration) -> Result<(), BenchError> {
    let mut left = duration;
    while !left.is_zero() {
        check()?;
        let nap = left.min(TICK);
        thread::sleep(nap);
        left -= nap;
    }
    check()
}
