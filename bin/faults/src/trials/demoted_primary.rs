//! Postgres takes no writes for a while and keeps its sessions open, as in a managed failover.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use daybook_services::{Postgres, ask_database};
use serde_json::json;

use crate::check::Checks;
use crate::client::{Client, Reply, lost};
use crate::crowd::Crowd;
use crate::error::{Outcome, ensure};
use crate::run::{Round, Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};
use crate::subscriber::Subscriber;

pub(super) const TRIAL: Trial = Trial {
    name: "demoted-primary",
    title: "Postgres is made read-only, also for its sessions, or a standby that is promoted",
    short: 4,
    full: 100,
    run,
};

/// How soon an instance says that it can't write.
const SAID_WITHIN: Duration = Duration::from_secs(3);
/// After so long every instance writes again, whatever sessions it had.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// So many tasks are asked of each instance then; each is done on whatever session is at hand.
const TASKS: usize = 8;
const TICK: Duration = Duration::from_millis(50);

/// How the server comes to take no writes.
#[derive(Clone, Copy, Debug)]
enum Demotion {
    /// For all sessions, and then again for none.
    AllSessions,
    /// For sessions that begin meanwhile, which stay so.
    NewSessions,
    /// It is a standby, and is promoted.
    Server,
}

impl Demotion {
    fn begin(self, postgres: &Postgres, site: &Site) -> Outcome {
        let (url, name) = (postgres.url(), database(site));
        match self {
            Self::AllSessions => {
                ask_database(&url, "ALTER SYSTEM SET default_transaction_read_only = on")?;
                ask_database(&url, "SELECT pg_reload_conf()")?;
            }
            Self::NewSessions => {
                let set =
                    format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on");
                ask_database(&url, &set)?;
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
                ask_database(&url, &format!("{end} '{name}'"))?;
            }
            Self::Server => postgres.demote()?,
        }
        Ok(())
    }

    fn end(self, postgres: &Postgres, site: &Site) -> Outcome {
        let (url, name) = (postgres.url(), database(site));
        match self {
            Self::AllSessions => {
                ask_database(&url, "ALTER SYSTEM RESET default_transaction_read_only")?;
                ask_database(&url, "SELECT pg_reload_conf()")?;
            }
            Self::NewSessions => {
                let reset =
                    format!("ALTER DATABASE \"{name}\" RESET default_transaction_read_only");
                ask_database(&url, &reset)?;
            }
            Self::Server => {
                ask_database(&url, "SELECT pg_promote()")?;
            }
        }
        Ok(())
    }
}

fn database(site: &Site) -> &str {
    site.database().rsplit_once('/').map_or("", |(_, name)| name)
}

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::Postgres)?;
    let mut site = Site::on(&servers)?;
    site.set("DAYBOOK_TEXT_TASK_DURATION", "0s");
    let addresses = [free_address()?, free_address()?];
    let instances = [site.serve(addresses[0])?, site.serve(addresses[1])?];
    let client = Client::register(&addresses, "ada@example.com")?;
    let subscribers = [0, 1].map(|number| Subscriber::start(&client.starting_at(number)));
    let mut probes = addresses.map(|address| Probe::of(&client, address));
    let mut checks = Checks::default();
    run.rounds(run.dose, |round| {
        let crowd = Crowd {
            clients: 16,
            accounts: 4,
            reads: 40,
            abandoned: 10,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(&client, || {
            round.wait(100, 300);
            demoted(round, &servers.postgres, &site, &mut probes, &mut tally)?;
            round.wait(100, 300);
            Ok(())
        })?;
        checks.round(&deeds, &client, &mut tally)
    })?;
    tally.must_have("writes answered with 503")?;
    for probe in &mut probes {
        probe.opened_are_there()?;
    }
    for subscriber in subscribers {
        subscriber.until(checks.position())?;
        tally.add("streams without a gap", 1);
    }
    drop(instances);
    site.verify()?;
    Ok(tally)
}

/// It takes no writes for a while; every instance says so, and is there again soon after that.
fn demoted(
    round: &mut Round,
    postgres: &Postgres,
    site: &Site,
    probes: &mut [Probe],
    tally: &mut Tally,
) -> Outcome {
    let how = match round.number % 4 {
        0 => Demotion::AllSessions,
        2 => Demotion::Server,
        // Which of the sessions is taken next is chance.
        _ => Demotion::NewSessions,
    };
    how.begin(postgres, site)?;
    let began = Instant::now();
    for probe in &mut *probes {
        while probe.writes()? || probe.is_ready()? {
            ensure(began.elapsed() < SAID_WITHIN, || {
                format!("{how:?}: {} does not say that it can't write", probe.address)
            })?;
            thread::sleep(TICK);
        }
    }
    tally.time("it was said after", began.elapsed());
    let lasts = Duration::from_millis(rand::Rng::random_range(&mut round.random, 500..2_500));
    while began.elapsed() < lasts {
        for probe in &mut *probes {
            ensure(!probe.writes()?, || format!("{how:?}: {} has written", probe.address))?;
            tally.add("writes answered with 503", 1);
            ensure(!probe.is_ready()?, || format!("{how:?}: {} is ready", probe.address))?;
        }
        thread::sleep(TICK);
    }
    how.end(postgres, site)?;
    let ended = Instant::now();
    for probe in &mut *probes {
        while !probe.writes()? || !probe.is_ready()? {
            ensure(ended.elapsed() < BACK_WITHIN, || {
                format!("{how:?}: {} does not write, though it could", probe.address)
            })?;
            thread::sleep(TICK);
        }
    }
    tally.time("all wrote again after", ended.elapsed());
    for probe in probes {
        // Workers have sessions of their own.
        let mut tasks = Vec::new();
        while !probe.has_done(&mut tasks)? {
            ensure(ended.elapsed() < BACK_WITHIN, || {
                format!("{how:?}: tasks of {} are not done", probe.address)
            })?;
            thread::sleep(TICK);
        }
    }
    tally.time("tasks were done again after", ended.elapsed());
    tally.add("demotions", 1);
    Ok(())
}

/// Whoever looks what one instance can do.
struct Probe {
    client: Client,
    address: SocketAddr,
    /// The accounts that were opened by it.
    opened: Vec<String>,
}

impl Probe {
    fn of(client: &Client, address: SocketAddr) -> Self {
        // Whoever does without an answer knows nothing: it comes in this time.
        let client = client.of(&[address]).patient(BACK_WITHIN);
        Self { client, address, opened: Vec::new() }
    }

    /// Whether a write is acknowledged; otherwise it is answered with 503.
    fn writes(&mut self) -> Outcome<bool> {
        let body = json!({ "name": "Probe", "currency_code": "EUR" });
        let reply = self.ask("POST", "/accounts", Some(&body))?;
        if reply.status == 201 {
            self.opened.push(reply.text("account_id")?);
            return Ok(true);
        }
        reply.expect(503).map(|_| false)
    }

    /// Whether it is ready; otherwise it is answered with 503.
    fn is_ready(&mut self) -> Outcome<bool> {
        let reply = self.ask("GET", "/health/ready", None)?;
        if reply.status == 200 { Ok(true) } else { reply.expect(503).map(|_| false) }
    }

    /// Whether the tasks are done; they are asked for where they were not taken yet.
    fn has_done(&mut self, tasks: &mut Vec<String>) -> Outcome<bool> {
        while tasks.len() < TASKS {
            let body = json!({ "kind": "text", "payload": "Good morning" });
            let reply = self.ask("POST", "/tasks", Some(&body))?;
            if reply.status == 503 {
                return Ok(false);
            }
            tasks.push(reply.expect(202)?.text("task_id")?);
        }
        for task in tasks {
            let reply = self.ask("GET", &format!("/tasks/{task}"), None)?.expect(200)?;
            if reply.text("state")? != "done" {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Outcome<Reply> {
        self.client.ask(method, path, None, body).map_err(|it| lost(it).at(self.address))
    }

    /// What was acknowledged is there.
    fn opened_are_there(&mut self) -> Outcome {
        for account in &self.opened {
            self.client.get(&format!("/accounts/{account}"))?.expect(200)?;
        }
        Ok(())
    }
}
