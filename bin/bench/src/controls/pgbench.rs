//! The control of P3 and P4: pgbench, PostgreSQL's own load, inserting one row a transaction.
//!
//! The row is the least that an event log has: a position of the database's own counting, an id, and a text as long as
//! data and metadata of the product's event. The statement is prepared once for each connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::order_rows::text_of_an_event;
use crate::error::{BenchError, Doing};
use crate::options::Options;
use crate::process;
use crate::programs;
use crate::rounds::{Turn, as_float};
use crate::servers::{OwnDatabase, PostgresServer};

const TABLE: &str =
    "CREATE TABLE bench (position bigserial PRIMARY KEY, id uuid NOT NULL, data text NOT NULL)";
const SCRIPT: &str = "INSERT INTO bench (id, data) VALUES (gen_random_uuid(), :data);\n";
/// How long the program may take beside its turn.
const PATIENCE: Duration = Duration::from_mins(1);

/// The program, ready to run.
pub(crate) struct Pgbench {
    program: PathBuf,
}

impl Pgbench {
    /// Looks for it.
    ///
    /// # Errors
    /// Where it is not installed.
    pub(crate) fn find() -> Result<Self, BenchError> {
        Ok(Self { program: programs::pgbench()? })
    }

    /// One turn of one-row inserts on a new database.
    ///
    /// # Errors
    /// Where the program fails, or a transaction does.
    pub(crate) fn inserts(
        &self,
        options: &Options,
        server: &PostgresServer,
        connections: u32,
    ) -> Result<Turn, BenchError> {
        let pace = options.pace();
        let database = server.database()?;
        database.execute(TABLE)?;
        let folder = options.temporary_folder()?;
        if !pace.warm_up.is_zero() {
            self.run(folder.path(), server, &database, connections, pace.warm_up)?;
        }
        let rate = self.run(folder.path(), server, &database, connections, pace.measured)?;
        let rows = database.number("SELECT count(*)::float8 FROM bench")?.unwrap_or_default();
        let disk_bytes = Some(database.bytes()? / rows.max(1.0));
        Ok(Turn { disk_bytes, ..Turn::of_rate(rate) })
    }

    /// What one commit takes, as a single client sees it.
    ///
    /// # Errors
    /// As [`Pgbench::inserts`].
    pub(crate) fn commit(
        &self,
        options: &Options,
        server: &PostgresServer,
    ) -> Result<Duration, BenchError> {
        let rate = self.inserts(options, server, 1)?.rate;
        Ok(Duration::from_secs_f64(1.0 / rate.max(1.0)))
    }

    /// Transactions a second. It takes whole seconds.
    fn run(
        &self,
        folder: &Path,
        server: &PostgresServer,
        database: &OwnDatabase<'_>,
        connections: u32,
        time: Duration,
    ) -> Result<f64, BenchError> {
        let script = folder.join("insert.sql");
        fs::write(&script, SCRIPT).doing(format!("writing {}", script.display()))?;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads = u32::try_from(threads).unwrap_or(1).min(connections);
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        let mut command = Command::new(&self.program);
        command.env_clear().env("LC_ALL", "C").env("PGCONNECT_TIMEOUT", "10");
        command.args(["--no-vacuum", "--protocol=prepared", "--host=127.0.0.1"]);
        command.args(["--username=postgres", &format!("--port={}", server.port())]);
        command.args([format!("--client={connections}"), format!("--jobs={threads}")]);
        command.arg(format!("--time={seconds}"));
        command.arg(format!("--define=data={}", text_of_an_event()));
        command.arg("--file").arg(&script).arg(database.name());
        let patience = Duration::from_secs(seconds) + PATIENCE;
        let printed = process::run_to_end("pgbench", &mut command, folder, patience)?;
        let report = Report::read(&printed);
        match report {
            Some(Report { rate, failed: 0 }) => Ok(rate),
            _ => Err(BenchError::failed(format!("pgbench did not count as expected:\n{printed}"))),
        }
    }
}

/// What the program says at its end.
#[derive(Debug, PartialEq)]
struct Report {
    /// Transactions a second, connecting aside.
    rate: f64,
    failed: u64,
}

impl Report {
    fn read(printed: &str) -> Option<Self> {
        let mut rates = printed.lines().filter_map(|line| line.strip_prefix("tps = "));
        // Before version 14 there are two lines; in the second connecting is left out.
        let rate: f64 = rates.next_back()?.split_whitespace().next()?.parse().ok()?;
        let failed = printed
            .lines()
            .find_map(|line| line.strip_prefix("number of failed transactions: "))
            .map_or(Some(0), |failed| failed.split_whitespace().next()?.parse().ok())?;
        (rate > as_float(0)).then_some(Self { rate, failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
pgbench (15.14 (Debian 15.14-0+deb12u1))
transaction type: insert.sql
scaling factor: 1
query mode: prepared
number of clients: 64
number of threads: 2
maximum number of tries: 1
duration: 3 s
number of transactions actually processed: 53934
number of failed transactions: 0 (0.000%)
latency average = 3.555 ms
initial connection time = 41.268 ms
tps = 18002.414116 (without initial connection time)
";

    #[test]
    fn its_report_is_read() {
        assert_eq!(Report::read(PRINTED), Some(Report { rate: 18_002.414_116, failed: 0 }));
        let failing =
            PRINTED.replace("failed transactions: 0 (0.000%)", "failed transactions: 7 (0.013%)");
        assert_eq!(Report::read(&failing).unwrap().failed, 7);
    }

    #[test]
    fn that_of_an_older_version_is_read() {
        let printed = "tps = 17950.1 (including connections establishing)\n\
                       tps = 18002.5 (excluding connections establishing)\n";
        assert_eq!(Report::read(printed), Some(Report { rate: 18_002.5, failed: 0 }));
    }

    #[test]
    fn what_is_no_report_is_none() {
        assert_eq!(Report::read(""), None);
        assert_eq!(Report::read("tps = 0.000000 (without initial connection time)"), None);
        assert_eq!(Report::read("pgbench: error: connection to server failed"), None);
    }
}
