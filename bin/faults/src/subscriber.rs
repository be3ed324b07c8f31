//! A subscriber of a stream of events that is not of Daybook's making: a socket of its own.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::error::{Failure, Outcome, ensure};
use crate::leftovers::held;

const CAUGHT_UP_WITHIN: Duration = Duration::from_mins(2);
const READ_PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(10);
/// A reader needs little room of its own.
const STACK: usize = 128 * 1024;

/// How a subscriber behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// It begins after this position.
    pub(crate) after: u64,
    /// How long it rests after each event.
    pub(crate) pause: Duration,
    /// At this position it takes nothing more, until it is let go on.
    pub(crate) stops_at: Option<u64>,
    /// Whether it keeps what it is shown.
    pub(crate) keeps: bool,
}

/// One listener to all events, which comes back to the next instance with the last position it saw, and
/// expects every position once and in order from there.
pub(crate) struct Subscriber {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a subscriber has seen in the end.
pub(crate) struct Told {
    /// How often it was told to read afresh.
    pub(crate) resets: u64,
    /// The events, each with its position, where it keeps them.
    pub(crate) events: Vec<(u64, String)>,
}

#[derive(Default)]
struct Shared {
    manner: Manner,
    last: AtomicU64,
    stop: AtomicBool,
    goes_on: AtomicBool,
    fault: Mutex<Option<String>>,
    resets: AtomicU64,
    closed_at: Mutex<Option<u64>>,
    events: Mutex<Vec<(u64, String)>>,
}

impl Subscriber {
    /// Listens from the beginning of the log.
    pub(crate) fn start(client: &Client) -> Self {
        Self::with(client, Manner::default())
    }

    /// Listens in this manner.
    pub(crate) fn with(client: &Client, manner: Manner) -> Self {
        let last = AtomicU64::new(manner.after);
        let shared = Arc::new(Shared { manner, last, ..Shared::default() });
        let listening = Arc::clone(&shared);
        let mut client = client.clone();
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || {
            while !listening.is_over() {
                // A stream that ends is what the trial is about.
                let _ = listening.listen(&client);
                client.turn();
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self { shared, thread: thread.ok() }
    }

    /// Whether it has come to where it takes nothing more.
    pub(crate) fn has_stopped(&self) -> bool {
        self.shared.is_held(self.shared.last.load(Ordering::SeqCst))
    }

    /// Lets it go on where it has stopped.
    pub(crate) fn go_on(&self) {
        self.shared.goes_on.store(true, Ordering::SeqCst);
    }

    /// Waits until the first of its connections has ended; up to where it had seen by then.
    ///
    /// # Errors
    /// Where it is still sent something when it has come to `head`.
    pub(crate) fn closed(&self, head: u64) -> Outcome<u64> {
        let deadline = Instant::now() + CAUGHT_UP_WITHIN;
        loop {
            if let Some(closed_at) = *held(&self.shared.closed_at) {
                return Ok(closed_at);
            }
            let last = self.shared.last.load(Ordering::SeqCst);
            ensure(last < head && Instant::now() < deadline, || {
                format!(
                    "a subscriber that had stopped was not closed, and came to {last} of {head}"
                )
            })?;
            thread::sleep(TICK);
        }
    }

    /// Waits until it has seen everything up to this position.
    ///
    /// # Errors
    /// A position that was left out or came twice; or where it does not come so far in time.
    pub(crate) fn until(mut self, head: u64) -> Outcome<Told> {
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
            thread::sleep(TICK);
        }
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(self.thread.take());
        Ok(Told {
            resets: self.shared.resets.load(Ordering::SeqCst),
            events: std::mem::take(&mut *held(&self.shared.events)),
        })
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

    /// Whether it takes nothing more once it is here.
    fn is_held(&self, position: u64) -> bool {
        self.manner.stops_at.is_some_and(|at| position >= at)
            && !self.goes_on.load(Ordering::SeqCst)
    }

    fn fault(&self) -> Option<String> {
        held(&self.fault).clone()
    }

    fn listen(&self, client: &Client) -> Outcome {
        let address = client.address().ok_or_else(|| Failure::new("no instance"))?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(READ_PATIENCE))?;
        let last = self.last.load(Ordering::SeqCst);
        // Who comes back says so by the header, which counts for more than the address.
        let resume = if last > self.manner.after {
            format!("Last-Event-ID: {last}\r\n")
        } else {
            String::new()
        };
        // To HTTP/1.0 the body is sent as it is, until the connection ends.
        let request = format!(
            "GET /events/stream?after={} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
             {resume}\r\n",
            self.manner.after,
            client.token()
        );
        stream.write_all(request.as_bytes())?;
        let mut lines = BufReader::with_capacity(4 * 1024, stream).lines();
        let status = lines.next().transpose()?.unwrap_or_default();
        ensure(status.contains(" 200 "), || status.clone())?;
        let ended = self.take(lines);
        if !self.is_over() {
            held(&self.closed_at).get_or_insert_with(|| self.last.load(Ordering::SeqCst));
        }
        ended
    }

    fn take(&self, lines: impl Iterator<Item = std::io::Result<String>>) -> Outcome {
        let (mut id, mut is_reset, mut data) = (None, false, String::new());
        for line in lines {
            let line = line?;
            if self.is_over() {
                return Ok(());
            }
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            } else if line == "event: reset" {
                is_reset = true;
            } else if let Some(text) = line.strip_prefix("data: ").filter(|_| self.manner.keeps) {
                text.clone_into(&mut data);
            } else if line.is_empty()
                && let Some(position) = id.take()
            {
                self.see(position, std::mem::take(&mut is_reset), std::mem::take(&mut data));
                thread::sleep(self.manner.pause);
                while self.is_held(position) && !self.is_over() {
                    thread::sleep(TICK);
                }
            }
        }
        Ok(())
    }

    fn see(&self, position: u64, is_reset: bool, data: String) {
        let last = self.last.swap(position, Ordering::SeqCst);
        if is_reset {
            self.resets.fetch_add(1, Ordering::SeqCst);
        } else if position != last + 1 {
            *held(&self.fault) = Some(format!("a subscriber saw {position} after {last}"));
        } else if self.manner.keeps {
            held(&self.events).push((position, data));
        }
    }
}
