//! Subscribers of the stream of events, through restarts, and slow ones among them.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Process, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "sse",
    title: "subscribers through restarts of Redis and the service, slow ones among them",
    short: 4,
    full: 40,
    run,
};

const CAUGHT_UP_WITHIN: Duration = Duration::from_mins(2);
const READ_PATIENCE: Duration = Duration::from_secs(30);
/// A reader needs little room of its own.
const STACK: usize = 128 * 1024;

/// One listener, which comes back to the next instance with the last position it saw, and expects every
/// position once and in order from there.
pub(crate) struct Subscriber {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    last: AtomicU64,
    stop: AtomicBool,
    fault: Mutex<Option<String>>,
    resets: AtomicU64,
}

impl Subscriber {
    /// Listens from the beginning of the log.
    pub(crate) fn start(client: &Client, path: &str) -> Self {
        Self::with_pause(client, path, Duration::ZERO)
    }

    /// The same, pausing after each event.
    fn with_pause(client: &Client, path: &str, pause: Duration) -> Self {
        let shared = Arc::new(Shared {
            last: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            fault: Mutex::default(),
            resets: AtomicU64::new(0),
        });
        let listening = Arc::clone(&shared);
        let (mut client, path) = (client.clone(), path.to_owned());
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || {
            while !listening.is_over() {
                // A stream that ends is what the trial is about.
                let _ = listening.listen(&client, &path, pause);
                client.turn();
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self { shared, thread: thread.ok() }
    }

    /// Waits until it has seen everything up to this position.
    ///
    /// # Errors
    /// A position that was left out or came twice; or where it does not come so far in time.
    pub(crate) fn until(mut self, head: u64) -> Outcome<u64> {
        ensure(self.thread.is_some(), || "no thread for a subscriber".to_owned())?;
        let deadline = Instant::now() + CAUGHT_UP_WITHIN;
        loop {
            let last = self.shared.last.load(Ordering::SeqCst);
            if let Some(fault) = self.shared.fault() {
                return Err(Failure::new(fault));
            }
            if last >= head {
                break;
            }
            ensure(Instant::now() < deadline, || {
                format!("a subscriber came to {last} only, of {head}")
            })?;
            thread::sleep(Duration::from_millis(10));
        }
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(self.thread.take());
        Ok(self.shared.resets.load(Ordering::SeqCst))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.fault().is_some()
    }

    fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn listen(&self, client: &Client, path: &str, pause: Duration) -> Outcome {
        let address = client.address().ok_or_else(|| Failure::new("no instance"))?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(READ_PATIENCE))?;
        let last = self.last.load(Ordering::SeqCst);
        let resume = if last > 0 { format!("Last-Event-ID: {last}\r\n") } else { String::new() };
        // To HTTP/1.0 the body is sent as it is, until the connection ends.
        let request = format!(
            "GET {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n{resume}\r\n",
            client.token()
        );
        stream.write_all(request.as_bytes())?;
        let mut lines = BufReader::with_capacity(4 * 1024, stream).lines();
        let status = lines.next().transpose()?.unwrap_or_default();
        ensure(status.contains(" 200 "), || status.clone())?;
        let (mut id, mut is_reset) = (None, false);
        for line in lines {
            let line = line?;
            if self.is_over() {
                return Ok(());
            }
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            } else if line == "event: reset" {
                is_reset = true;
            } else if line.is_empty()
                && let Some(position) = id.take()
            {
                self.see(position, std::mem::take(&mut is_reset));
                thread::sleep(pause);
            }
        }
        Ok(())
    }

    fn see(&self, position: u64, is_reset: bool) {
        let last = self.last.swap(position, Ordering::SeqCst);
        if is_reset {
            self.resets.fetch_add(1, Ordering::SeqCst);
        } else if position != last + 1 {
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            *fault = Some(format!("a subscriber saw {position} after {last}"));
        }
    }
}

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::Postgres)?;
    let site = Site::on(&servers)?;
    let addresses = [free_address()?, free_address()?];
    let mut instances = addresses
        .iter()
        .map(|address| site.serve(*address).map(Some))
        .collect::<Outcome<Vec<Option<Process>>>>()?;
    let client = Client::register(&addresses, "ada@example.com")?;
    let subscribers: Vec<_> = (0..run.size(1_000, 100))
        .map(|number| {
            // One in ten is slow.
            let pause = Duration::from_millis(if number % 10 == 0 { 2 } else { 0 });
            Subscriber::with_pause(&client.starting_at(number), "/events/stream?after=0", pause)
        })
        .collect();
    let mut checks = Checks::default();
    run.rounds(run.dose, |round| {
        let crowd = Crowd {
            clients: 4,
            accounts: 2,
            reads: 30,
            abandoned: 0,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(&client, || {
            round.wait(50, 150);
            match round.number as usize % 4 {
                0 => servers.redis.restart()?,
                2 => {
                    servers.redis.kill()?;
                    round.wait(100, 300);
                    servers.redis.restart()?;
                }
                number => {
                    let at = number / 2;
                    let (Some(instance), Some(address)) =
                        (instances.get_mut(at), addresses.get(at))
                    else {
                        return Err(Failure::new("no instance"));
                    };
                    if let Some(process) = instance.take() {
                        process.ask_to_end()?;
                        process.ended()?;
                    }
                    *instance = Some(site.serve(*address)?);
                }
            }
            round.wait(50, 150);
            Ok(())
        })?;
        tally.add("restarts", 1);
        checks.round(&deeds, &client, &mut tally)
    })?;
    let head = checks.position();
    tally.add("events", usize::try_from(head).unwrap_or(usize::MAX));
    for subscriber in subscribers {
        let resets = subscriber.until(head)?;
        tally.add("subscribers without a gap", 1);
        ensure(resets == 0, || "a reset, though the log has everything".to_owned())?;
    }
    drop(instances);
    site.verify()?;
    Ok(tally)
}
