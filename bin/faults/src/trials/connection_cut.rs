//! Connections are cut, left half open, and cut while an answer is on its way back.

use std::time::Duration;

use daybook_services::Proxy;
use rand::Rng;

use crate::check::Checks;
use crate::client::{Client, PATIENCE};
use crate::crowd::Crowd;
use crate::error::{Outcome, ensure};
use crate::run::{Round, Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r4",
    title: "the service's connections to Postgres are cut, stalled, and cut in mid-COMMIT",
    short: 12,
    full: 200,
    run: database,
};

pub(super) const CLIENTS: Trial = Trial {
    name: "r4-clients",
    title: "the clients' connections are cut, stalled, and cut before the answer arrives",
    short: 12,
    full: 200,
    run: clients,
};

fn database(run: &Run) -> Outcome<Tally> {
    let servers = Servers::start(Engines::Postgres)?;
    let proxy = Proxy::to(servers.postgres.port())?;
    let mut site = Site::on(&servers)?;
    let by_proxy = proxy.url_of(site.database());
    site.set("DATABASE_URL", &by_proxy);
    let address = free_address()?;
    let _instance = site.serve(address)?;
    cut(run, &site, &proxy, &Client::register(&[address], "ada@example.com")?)
}

fn clients(run: &Run) -> Outcome<Tally> {
    let site = Site::embedded()?;
    let address = free_address()?;
    let _instance = site.serve(address)?;
    let proxy = Proxy::to(address.port())?;
    cut(run, &site, &proxy, &Client::register(&[proxy.address()], "ada@example.com")?)
}

fn cut(run: &Run, site: &Site, proxy: &Proxy, client: &Client) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let mut checks = Checks::default();
    run.rounds(run.dose, |round| {
        let crowd = Crowd {
            clients: 48,
            accounts: 3,
            reads: 20,
            abandoned: 20,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(client, || {
            round.wait(50, 150);
            hurt(proxy, round);
            proxy.restore();
            round.wait(150, 300);
            Ok(())
        })?;
        tally.add("cuts", 1);
        // One that hangs is given up by the client; an answer has come within its patience.
        ensure(deeds.longest <= PATIENCE + Duration::from_millis(500), || {
            format!("an answer took {:?}", deeds.longest)
        })?;
        checks.round(&deeds, client, &mut tally)
    })?;
    tally.must_have("answers lost or not given")?;
    site.verify()?;
    Ok(tally)
}

fn hurt(proxy: &Proxy, round: &mut Round) {
    match round.number % 3 {
        // What is under way is committed, and nobody is told.
        0 => {
            for _ in 0..round.random.random_range(1..6) {
                proxy.cut_answers();
                round.wait(20, 80);
                proxy.restore();
                round.wait(5, 40);
            }
        }
        1 => {
            proxy.cut();
            round.wait(0, 200);
        }
        _ => {
            proxy.stall();
            // Sometimes it goes on, sometimes it turns out to be dead.
            round.wait(200, 1_500);
            if round.random.random() {
                proxy.cut();
            }
        }
    }
}
