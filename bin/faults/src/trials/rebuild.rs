//! The read models are made anew under load, and that is killed half way.

use std::time::Duration;

use rand::Rng;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::{Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r13",
    title: "the read models are rebuilt under load, and that is killed half way",
    short: 6,
    full: 50,
    run,
};

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let half = run.dose.div_ceil(2);
    let embedded = Site::embedded()?;
    rebuilt(run, half, &embedded, &mut tally).map_err(|failure| failure.at("on SQLite"))?;
    let servers = Servers::start(Engines::Postgres)?;
    let site = Site::on(&servers)?;
    rebuilt(run, run.dose - half, &site, &mut tally)
        .map_err(|failure| failure.at("on Postgres"))?;
    Ok(tally)
}

fn rebuilt(run: &Run, rounds: u32, site: &Site, tally: &mut Tally) -> Outcome {
    let address = free_address()?;
    let _instance = site.serve(address)?;
    let client = Client::register(&[address], "ada@example.com")?;
    let mut checks = Checks::default();
    let (mut killed, mut ended) = (0, 0);
    run.rounds(rounds, |round| {
        let crowd = Crowd {
            clients: 16,
            accounts: 4,
            reads: 30,
            abandoned: 0,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(&client, || {
            round.wait(50, 150);
            let rebuild = site.begin(&["rebuild", "--database-url", site.database()])?;
            if round.number % 3 == 2 {
                let done = rebuild.ended()?;
                ensure(done.status.success(), || {
                    format!("daybook rebuild: {}\n{}{}", done.status, done.stdout, done.stderr)
                })?;
                ended += 1;
            } else {
                std::thread::sleep(Duration::from_millis(round.random.random_range(1..250)));
                // It may have been quicker.
                killed += usize::from(rebuild.runs()?);
                rebuild.kill()?;
            }
            round.wait(50, 150);
            Ok(())
        })?;
        checks.round(&deeds, &client, tally)?;
        site.verify()
    })?;
    tally.add("rebuilds killed", killed);
    tally.add("rebuilds ended", ended);
    Ok(())
}
