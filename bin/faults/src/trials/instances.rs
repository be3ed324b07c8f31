//! Three instances on one Postgres: one is stopped and continued, another killed.

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::{Failure, Outcome};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Process, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r12",
    title: "of three instances on one Postgres one is stopped, continued, or killed",
    short: 6,
    full: 100,
    run,
};

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::Postgres)?;
    let site = Site::on(&servers)?;
    let addresses = [free_address()?, free_address()?, free_address()?];
    let mut instances = addresses
        .iter()
        .map(|address| site.serve(*address).map(Some))
        .collect::<Outcome<Vec<Option<Process>>>>()?;
    let client = Client::register(&addresses, "ada@example.com")?;
    let mut checks = Checks::default();
    run.rounds(run.dose, |round| {
        let crowd = Crowd {
            clients: 48,
            accounts: 4,
            reads: 40,
            abandoned: 10,
            readers: 1,
            seed: round.seed,
        };
        let at = round.number as usize % addresses.len();
        let deeds = crowd.run(&client, || {
            let place = instances.get_mut(at).ok_or_else(|| Failure::new("no place"))?;
            round.wait(50, 200);
            if round.number % 4 == 3 {
                place.take().ok_or_else(|| Failure::new("no instance"))?.kill()?;
                round.wait(50, 200);
                let address = addresses.get(at).ok_or_else(|| Failure::new("no place"))?;
                *place = Some(site.serve(*address)?);
                tally.add("kills", 1);
            } else {
                let instance = place.as_ref().ok_or_else(|| Failure::new("no instance"))?;
                instance.pause()?;
                round.wait(300, 2_500);
                instance.resume()?;
                tally.add("pauses", 1);
            }
            round.wait(100, 200);
            Ok(())
        })?;
        checks.round(&deeds, &client, &mut tally)
    })?;
    tally.must_have("pauses")?;
    drop(instances);
    site.verify()?;
    Ok(tally)
}
