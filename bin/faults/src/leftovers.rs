//! What a run must not leave behind when it is told to end: its processes and folders. Servers end by
//! themselves when their owner is gone.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, exit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

static PROCESSES: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// What a shell answers for a program that `SIGINT` ended.
const INTERRUPTED: i32 = 130;

/// From now on, `SIGINT` and `SIGTERM` end what is left, and this process with it.
///
/// # Errors
/// Where the system does not let it listen for signals.
pub fn end_with_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    drop(guard);
    thread::spawn(move || {
        let [interrupt, terminate] = &mut signals;
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        // Nothing is started any more.
        let processes = held(&PROCESSES);
        for process in processes.iter() {
            end(process);
        }
        for folder in held(&FOLDERS).iter() {
            // It may be gone.
            let _ = fs::remove_dir_all(folder);
        }
        exit(INTERRUPTED);
    });
    Ok(())
}

/// Starts a process, which is ended with this one.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Arc<Mutex<Child>>> {
    let mut processes = held(&PROCESSES);
    let process = Arc::new(Mutex::new(command.spawn()?));
    processes.push(Arc::clone(&process));
    Ok(process)
}

/// Kills a process, where it runs.
pub(crate) fn kill(process: &Arc<Mutex<Child>>) {
    end(process);
    held(&PROCESSES).retain(|other| !Arc::ptr_eq(other, process));
}

/// Notes a folder that is removed with this process.
pub(crate) fn note_folder(folder: PathBuf) {
    held(&FOLDERS).push(folder);
}

fn end(process: &Mutex<Child>) {
    let mut child = held(process);
    // Fails only where it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
