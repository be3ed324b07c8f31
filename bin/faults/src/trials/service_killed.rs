//! The service is killed under load.

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::{Failure, Outcome};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r1",
    title: "the service is killed under 64 clients, on SQLite and on Postgres",
    short: 12,
    full: 500,
    run,
};

/// After so many rounds everything is verified.
const VERIFIED_EVERY: u32 = 25;

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let half = run.dose.div_ceil(2);
    let embedded = Site::embedded()?;
    killed(run, half, &embedded, &mut tally).map_err(|failure| failure.at("on SQLite"))?;
    let servers = Servers::start(Engines::Postgres)?;
    let site = Site::on(&servers)?;
    killed(run, run.dose - half, &site, &mut tally).map_err(|failure| failure.at("on Postgres"))?;
    tally.must_have("answers lost or not given")?;
    Ok(tally)
}

/// Kills the one instance of a site again and again.
pub(crate) fn killed(run: &Run, rounds: u32, site: &Site, tally: &mut Tally) -> Outcome {
    let address = free_address()?;
    let mut instance = Some(site.serve(address)?);
    let client = Client::register(&[address], "ada@example.com")?;
    let mut checks = Checks::default();
    run.rounds(rounds, |round| {
        let crowd = Crowd {
            clients: 64,
            accounts: 4,
            reads: 30,
            abandoned: 10,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(&client, || {
            round.wait(50, 300);
            instance.take().ok_or_else(|| Failure::new("no instance"))?.kill()?;
            round.wait(0, 50);
            instance = Some(site.serve(address)?);
            round.wait(50, 200);
            Ok(())
        })?;
        tally.add("kills", 1);
        checks.round(&deeds, &client, tally)?;
        if round.number % VERIFIED_EVERY == VERIFIED_EVERY - 1 {
            site.verify()?;
        }
        Ok(())
    })?;
    drop(instance);
    site.verify()
}
