//! What the operating system knows: processor time, memory, the price of a durable sync.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{BenchError, Doing};

/// Linux counts a process's processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// The processor time a process has used, all its threads together.
pub(crate) fn process_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user.checked_add(system)?)
}

/// The processor time this thread has used.
pub(crate) fn thread_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = stat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// The resident memory of a process, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// How long it takes to make 4 KiB durable at the end of a file in `folder`: the median of some.
///
/// # Errors
/// Where the folder cannot be written to.
pub(crate) fn durable_sync(folder: &Path) -> Result<Duration, BenchError> {
    const TIMES: usize = 51;
    let doing = || format!("writing to {}", folder.display());
    let mut file = File::create(folder.join("sync")).doing(doing())?;
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let begun = Instant::now();
        file.write_all(&[7; 4096]).doing(doing())?;
        file.sync_data().doing(doing())?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(TIMES / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_time_and_memory() {
        let pid = std::process::id();
        assert!(process_time(pid).is_some());
        assert!(thread_time().is_some());
        assert!(resident_kib(pid).is_some_and(|kib| kib > 100));
    }
}
