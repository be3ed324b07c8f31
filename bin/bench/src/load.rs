//! The load: a closed loop of keep-alive connections, each with one request in flight.
//!
//! It shares the machine with what it measures, so it is cheap: one thread, one write and one read per request, the
//! same ready bytes every time, buffers and histograms allocated before the first. It talks to loopback alone, and every
//! turn ends by time and by count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::error::{BenchError, Doing};
use crate::histogram::Histogram;
use crate::http;
use crate::interrupt;
use crate::machine;
use crate::options::Pace;

/// How long after its end a turn waits for the replies still due, and how long a connection may take.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A load to put on a server.
#[derive(Debug)]
pub(crate) struct Load {
    /// The server; on loopback.
    pub(crate) address: SocketAddr,
    /// The bytes of the request.
    pub(crate) request: Vec<u8>,
    /// The status that counts as an answer; any other is a failure.
    pub(crate) expected_status: u16,
    /// Connections, and so requests in flight.
    pub(crate) connections: u32,
    /// How long.
    pub(crate) pace: Pace,
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Outcome {
    /// Answers in all, warm-up included.
    pub(crate) answers: u64,
    /// The time that was measured.
    pub(crate) measured: Duration,
    /// Of each answer within that time, how long it took.
    pub(crate) latencies: Histogram,
    /// What was not answered as expected, warm-up included.
    pub(crate) failures: Failures,
    /// The share of one processor that the load itself took.
    pub(crate) generator_busy: Option<f64>,
}

/// Requests that were not answered as expected.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Failures {
    /// How many.
    pub(crate) count: u64,
    /// What happened to one of them.
    pub(crate) example: Option<String>,
}

impl Failures {
    /// Counts one; `what` is asked for only where there is no example yet.
    pub(crate) fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        self.example.get_or_insert_with(what);
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.example = self.example.take().or(other.example);
    }
}

impl Load {
    /// Puts the load on the server; returns when the turn is over.
    ///
    /// # Errors
    /// Where no connection comes about, or the run was asked to end. Requests that fail are no error here: they are
    /// counted.
    pub(crate) fn run(&self) -> Result<Outcome, BenchError> {
        if !self.address.ip().is_loopback() {
            return Err(BenchError::failed(format!("{} is not on loopback", self.address)));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.doing("starting the load generator")?;
        let (begun, used) = (Instant::now(), machine::thread_time());
        let mut outcome = runtime.block_on(self.put())?;
        outcome.generator_busy = used.zip(machine::thread_time()).map(|(before, after)| {
            after.saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
        });
        Ok(outcome)
    }

    async fn put(&self) -> Result<Outcome, BenchError> {
        let streams = self.connect().await?;
        let window = Window::of(self.pace);
        let share = self.pace.share(self.connections);
        let request: Arc<[u8]> = self.request.as_slice().into();
        let mut tasks = JoinSet::new();
        for stream in streams {
            let client = Client {
                stream,
                request: Arc::clone(&request),
                expected_status: self.expected_status,
                window,
                share,
                buffer: vec![0; http::LONGEST_REPLY],
            };
            tasks.spawn(client.run());
        }
        gather(&mut tasks, window).await
    }

    async fn connect(&self) -> Result<Vec<TcpStream>, BenchError> {
        let doing = || format!("connecting to {}", self.address);
        let mut streams = Vec::new();
        for _ in 0..self.connections {
            let connected = timeout(GRACE, TcpStream::connect(self.address)).await;
            let stream = connected
                .map_err(|_| BenchError::failed(format!("{}: no answer", doing())))?
                .doing(doing())?;
            stream.set_nodelay(true).doing(doing())?;
            streams.push(stream);
        }
        Ok(streams)
    }
}

/// Waits for all clients and adds up what they counted.
///
/// # Errors
/// Where the run was asked to end.
pub(crate) async fn gather(
    tasks: &mut JoinSet<Tally>,
    window: Window,
) -> Result<Outcome, BenchError> {
    let mut total = Tally::new(window.start);
    let deadline = (window.end + GRACE).into();
    loop {
        tokio::select! {
            joined = tasks.join_next() => match joined {
                None => break,
                Some(Ok(tally)) => total.merge(tally),
                Some(Err(error)) => total.failures.add(|| error.to_string()),
            },
            () = sleep_until(deadline) => {
                for _ in 0..tasks.len() {
                    total.failures.add(|| format!("no answer within {GRACE:?} after the turn's end"));
                }
                total.ended = window.end;
                break;
            }
            interrupted = interrupt::requested() => return Err(interrupted),
        }
    }
    Ok(Outcome {
        answers: total.answers,
        measured: total.ended.min(window.end).saturating_duration_since(window.start),
        latencies: total.latencies,
        failures: total.failures,
        generator_busy: None,
    })
}

/// The time in which answers count.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    start: Instant,
    end: Instant,
}

impl Window {
    /// From now on, after the warm-up.
    pub(crate) fn of(pace: Pace) -> Self {
        let start = Instant::now() + pace.warm_up;
        Self { start, end: start + pace.measured }
    }
}

/// What one client counted.
pub(crate) struct Tally {
    answers: u64,
    latencies: Histogram,
    /// What was not answered as expected.
    pub(crate) failures: Failures,
    ended: Instant,
}

impl Tally {
    /// Nothing counted yet; so far it has lasted until `ended`.
    pub(crate) fn new(ended: Instant) -> Self {
        Self { answers: 0, latencies: Histogram::new(), failures: Failures::default(), ended }
    }

    /// Notes that something has ended, and whether it was an answer. Gives whether there is time for another.
    pub(crate) fn note(
        &mut self,
        window: Window,
        sent: Instant,
        now: Instant,
        answered: bool,
    ) -> bool {
        self.ended = now;
        if answered {
            self.answers += 1;
            if now >= window.start && now < window.end {
                self.latencies.record(now - sent);
            }
        }
        now < window.end
    }

    fn merge(&mut self, other: Self) {
        self.answers += other.answers;
        self.latencies.merge(&other.latencies);
        self.failures.merge(other.failures);
        self.ended = self.ended.max(other.ended);
    }
}

/// One connection.
struct Client {
    stream: TcpStream,
    request: Arc<[u8]>,
    expected_status: u16,
    window: Window,
    /// Requests it may send.
    share: u64,
    buffer: Vec<u8>,
}

impl Client {
    async fn run(mut self) -> Tally {
        let mut sent = Instant::now();
        let mut tally = Tally::new(sent);
        for _ in 0..self.share {
            let answered = self.exchange().await;
            let now = Instant::now();
            let expected =
                answered.as_ref().is_ok_and(|frame| frame.status == self.expected_status);
            let time_left = tally.note(self.window, sent, now, expected);
            match answered {
                Ok(_) if expected => {}
                Ok(frame) => tally.failures.add(|| self.unexpected(frame)),
                Err(reason) => {
                    tally.failures.add(|| reason);
                    break;
                }
            }
            if !time_left {
                break;
            }
            sent = now;
        }
        tally
    }

    /// Sends the request and reads one whole reply.
    async fn exchange(&mut self) -> Result<http::Frame, String> {
        self.stream.write_all(&self.request).await.map_err(|error| error.to_string())?;
        let mut filled = 0;
        loop {
            let free = self.buffer.get_mut(filled..).unwrap_or_default();
            let read = self.stream.read(free).await.map_err(|error| error.to_string())?;
            if read == 0 {
                return Err("the server closed the connection".to_owned());
            }
            filled += read;
            let seen = self.buffer.get(..filled).unwrap_or_default();
            match http::frame(seen).map_err(|unreadable| unreadable.to_string())? {
                Some(frame) if frame.length() == filled => return Ok(frame),
                Some(frame) if frame.length() < filled => {
                    return Err("bytes after the reply".to_owned());
                }
                _ => {}
            }
        }
    }

    fn unexpected(&self, frame: http::Frame) -> String {
        let body = self.buffer.get(frame.head..frame.length()).unwrap_or_default();
        let body: String = String::from_utf8_lossy(body).chars().take(200).collect();
        format!("status {} instead of {}: {body}", frame.status, self.expected_status)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that answers each of its `connections` with `replies`, one per request, and then closes it.
    fn server(connections: usize, replies: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let streams: Vec<_> = (0..connections).map(|_| listener.accept().unwrap().0).collect();
            for mut stream in streams {
                thread::spawn(move || {
                    for reply in replies {
                        let mut request = [0; 1024];
                        if stream.read(&mut request).is_ok_and(|read| read > 0) {
                            stream.write_all(reply.as_bytes()).unwrap();
                        }
                    }
                });
            }
        });
        address
    }

    fn load(address: SocketAddr, connections: u32, most_requests: u64) -> Load {
        let measured = Duration::from_secs(30);
        let pace = Pace { warm_up: Duration::ZERO, measured, most_requests };
        let request = http::request("GET", "/", None, None);
        Load { address, request, expected_status: 200, connections, pace }
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";

    #[test]
    fn every_answer_is_counted_once_and_the_turn_ends_by_count() {
        let outcome = load(server(3, &[OK; 8]), 3, 24).run().unwrap();
        assert_eq!(outcome.failures.count, 0, "{:?}", outcome.failures);
        assert_eq!((outcome.answers, outcome.latencies.count()), (24, 24));
        assert!(outcome.measured < Duration::from_secs(30));
    }

    #[test]
    fn another_status_is_a_failure_and_the_connection_goes_on() {
        let outcome = load(server(1, &[OK, BUSY, OK]), 1, 3).run().unwrap();
        assert_eq!((outcome.answers, outcome.failures.count), (2, 1));
        assert_eq!(outcome.failures.example.as_deref(), Some("status 503 instead of 200: busy"));
    }

    #[test]
    fn a_closed_connection_is_a_failure() {
        let outcome = load(server(1, &[OK]), 1, 3).run().unwrap();
        assert_eq!((outcome.answers, outcome.failures.count), (1, 1));
    }

    #[test]
    fn bytes_past_the_reply_are_a_failure() {
        let outcome = load(server(1, &["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{}"]), 1, 1)
            .run()
            .unwrap();
        assert_eq!((outcome.answers, outcome.failures.count), (0, 1));
    }

    #[test]
    fn only_loopback_is_loaded() {
        let address = SocketAddr::from(([192, 0, 2, 1], 80));
        assert!(load(address, 1, 1).run().is_err());
    }
}
