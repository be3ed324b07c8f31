//! Whether processes run, and what is left of them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_mins(1);

/// Whether a process runs; one that is dead and not yet buried doesn't.
pub(crate) fn runs(pid: u32) -> bool {
    let state = if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").map(|(_, state)| state.to_owned()).unwrap_or_default()
    } else {
        let output =
            Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    !state.trim().is_empty() && !state.starts_with(['Z', 'X'])
}

/// The processes whose command line or environment names the folder.
pub(crate) fn processes_of(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|it| it.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        runs(*pid)
            && ["cmdline", "environ"].iter().any(|file| {
                let content = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                String::from_utf8_lossy(&content).contains(folder)
            })
    })
    .collect()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
