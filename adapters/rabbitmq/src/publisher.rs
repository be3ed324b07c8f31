//! Sending: confirmed by the broker, and sent again over the next connection where one was lost.
//!
//! One task owns the channel. It counts and sends in one place that nobody can give up halfway:
//! the count is the broker's, too, and one that is off by one would confirm the wrong message.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amqprs::channel::{BasicPublishArguments, Channel, ConfirmSelectArguments};
use daybook_events::QueueError;
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::confirms::{Batch, Confirms, Verdict};
use crate::fault::Fault;
use crate::letter::Letter;
use crate::line::{Broker, Line};
use crate::link::{Link, Pauses, State};
use crate::mark::Marks;
use crate::settings::RabbitSettings;
use crate::topology::{Route, Topology};

/// How many jobs wait for the task that sends, and how many messages one has.
const JOBS: usize = 64;
const JOB: usize = 128;
/// The library queues so many frames without waiting; within that, sending never stalls halfway.
const WIDEST_WINDOW: usize = 4_096;
/// What each message adds to the time that sending them may take.
const EACH: Duration = Duration::from_millis(1);
/// How often it is tried whether the broker takes messages, where nothing else is sent, and how long that
/// may take.
const TRIAL_EVERY: Duration = Duration::from_secs(5);
const TRIAL: Duration = Duration::from_secs(3);
/// How long a check waits for a connection that is just being made.
const CHECK: Duration = Duration::from_secs(1);

/// Sends messages.
pub(crate) struct Publisher {
    broker: Arc<Broker>,
    topology: Topology,
    link: Link,
    window: usize,
    timeout: Duration,
    start_pause: Duration,
    jobs: mpsc::Sender<Job>,
    asks: mpsc::Sender<Ask>,
    wanted: Notify,
    stop: CancellationToken,
    inbox: Mutex<Inbox>,
    marks: Marks,
    /// When the broker confirmed something last.
    confirmed: watch::Sender<Instant>,
    /// What was sent last was refused.
    refused: AtomicBool,
    /// There is a connection.
    serving: AtomicBool,
}

/// What the task that sends receives.
struct Inbox {
    jobs: mpsc::Receiver<Job>,
    asks: mpsc::Receiver<Ask>,
}

/// Consecutive messages of a batch. What has not been handed over when it is dropped is lost.
struct Job {
    batch: Arc<Batch>,
    indices: Range<usize>,
    letters: std::vec::IntoIter<Letter>,
}

impl Drop for Job {
    fn drop(&mut self) {
        for index in self.indices.clone() {
            self.batch.settle(index, Verdict::Lost);
        }
    }
}

/// Somebody wants to know at once whether the broker can be connected to.
type Ask = oneshot::Sender<Result<(), Fault>>;

/// Tells the task that sends when nobody waits any more.
struct Waiting(Arc<Batch>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// A connection that messages are sent on.
struct Session {
    line: Line,
    channel: Channel,
    confirms: Arc<Confirms>,
    /// The waits whose queues are known to be there, as bits.
    waits: u32,
}

impl Publisher {
    pub(crate) fn new(
        settings: &RabbitSettings,
        broker: Arc<Broker>,
        topology: Topology,
        stop: CancellationToken,
    ) -> Self {
        let (jobs, waiting_jobs) = mpsc::channel(JOBS);
        let (asks, waiting_asks) = mpsc::channel(1);
        Self {
            broker,
            topology,
            link: Link::new("sending"),
            window: settings.confirm_window.clamp(1, WIDEST_WINDOW),
            timeout: settings.confirm_timeout,
            start_pause: settings.start_pause,
            jobs,
            asks,
            wanted: Notify::new(),
            stop,
            inbox: Mutex::new(Inbox { jobs: waiting_jobs, asks: waiting_asks }),
            marks: Marks(settings.identity.clone()),
            confirmed: watch::Sender::new(Instant::now()),
            refused: AtomicBool::new(false),
            serving: AtomicBool::new(false),
        }
    }

    /// Sends a letter for each of the items, and waits until all are confirmed.
    pub(crate) async fn send<T: Sync>(
        &self,
        items: &[T],
        letter: impl Fn(&T) -> Letter + Send + Sync,
    ) -> Result<(), Fault> {
        self.wanted.notify_one();
        let messages = items.len().try_into().unwrap_or(u32::MAX);
        let patience = self.timeout.saturating_add(EACH.saturating_mul(messages));
        let sent = self.send_within(patience, items, letter).await;
        match &sent {
            Ok(()) => self.refused.store(false, Ordering::Relaxed),
            Err(Fault::Refused) => self.refused.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        sent
    }

    async fn send_within<T: Sync>(
        &self,
        patience: Duration,
        items: &[T],
        letter: impl Fn(&T) -> Letter + Send + Sync,
    ) -> Result<(), Fault> {
        let sent = tokio::time::timeout(patience, self.send_all(items, letter));
        let sent = tokio::select! {
            sent = sent => sent.unwrap_or_else(|_| Err(self.link.fault().unwrap_or(Fault::Unconfirmed))),
            fault = self.link.hopeless() => Err(fault),
            () = self.stop.cancelled() => Err(Fault::Closed),
        };
        if sent.is_ok() {
            self.confirmed.send_replace(Instant::now());
        }
        sent
    }

    /// Tries again and again whether a broker that is connected to takes messages: one that is short of
    /// memory does not say that it does not.
    pub(crate) async fn attend(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(TRIAL_EVERY) => {}
            }
            let is_idle = self.confirmed.borrow().elapsed() >= TRIAL_EVERY;
            let held_up = self.link.fault() == Some(Fault::Unconfirmed);
            if self.serving.load(Ordering::Relaxed) && (is_idle || held_up) {
                self.try_sending().await;
            }
        }
    }

    async fn try_sending(&self) {
        let (before, trial) = (*self.confirmed.borrow(), [()]);
        let tried = self.send_within(TRIAL, &trial, |()| Letter::trial()).await;
        let confirmed = *self.confirmed.borrow() != before;
        match tried {
            Ok(()) => self.link.up(),
            // Others' messages went before it.
            Err(Fault::Unconfirmed) if confirmed => {}
            Err(Fault::Unconfirmed) if self.serving.load(Ordering::Relaxed) => {
                self.link.failed(&Fault::Unconfirmed);
            }
            // Whatever else it is ends the connection, and the next one says it.
            Err(_) => {}
        }
    }

    async fn send_all<T: Sync>(
        &self,
        items: &[T],
        letter: impl Fn(&T) -> Letter + Send + Sync,
    ) -> Result<(), Fault> {
        let mut left: Vec<&T> = items.iter().collect();
        while !left.is_empty() {
            let waiting = Waiting(Arc::new(Batch::new(left.len())));
            for (n, items) in left.chunks(JOB).enumerate() {
                let letters: Vec<_> = items.iter().map(|item| letter(item)).collect();
                let indices = n * JOB..n * JOB + letters.len();
                let batch = Arc::clone(&waiting.0);
                let job = Job { batch, indices, letters: letters.into_iter() };
                self.jobs.send(job).await.map_err(|_| Fault::Closed)?;
            }
            let verdicts = waiting.0.verdicts().await;
            if verdicts.contains(&Verdict::Refused) {
                return Err(Fault::Refused);
            }
            let mut verdicts = verdicts.into_iter();
            left.retain(|_| verdicts.next() != Some(Verdict::Confirmed));
        }
        Ok(())
    }

    /// Tries to connect, now, if there is no connection.
    pub(crate) async fn ask(&self) -> Result<(), Fault> {
        let (ask, answer) = oneshot::channel();
        let asked = async {
            self.asks.send(ask).await.map_err(|_| Fault::Closed)?;
            answer.await.unwrap_or(Err(Fault::Closed))
        };
        tokio::select! {
            answer = asked => answer,
            () = self.stop.cancelled() => Err(Fault::Closed),
        }
    }

    /// Whether messages can be sent.
    pub(crate) async fn check(&self) -> Result<(), QueueError> {
        self.wanted.notify_one();
        match self.link.verdict(CHECK).await {
            State::Up if self.refused.load(Ordering::Relaxed) => Err(Fault::Refused.into()),
            State::Up => Ok(()),
            State::Down(fault) => Err(fault.into()),
            State::Connecting => Err(Fault::Unreachable("no connection yet".to_owned()).into()),
        }
    }

    /// Connects when there is something to send, sends, and connects again, until it has to stop.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut inbox = self.inbox.lock().await;
        let mut asked = tokio::select! {
            () = self.stop.cancelled() => return,
            () = self.wanted.notified() => None,
            ask = inbox.asks.recv() => ask,
        };
        let mut pauses = Pauses::new();
        loop {
            let connected = tokio::select! {
                () = self.stop.cancelled() => return,
                connected = self.connect() => connected,
            };
            let pause = match (connected, asked.take()) {
                (Ok(session), ask) => {
                    self.link.up();
                    answer(ask, Ok(()));
                    let began = Instant::now();
                    self.serving.store(true, Ordering::Relaxed);
                    let fault = self.serve(session, &mut inbox).await;
                    self.serving.store(false, Ordering::Relaxed);
                    if self.stop.is_cancelled() {
                        return;
                    }
                    self.link.lost(&fault);
                    pauses.after(began.elapsed())
                }
                (Err(fault), Some(ask)) => {
                    self.link.failed_quietly(&fault);
                    answer(Some(ask), Err(fault));
                    // Who asked sets the pace.
                    self.start_pause.saturating_mul(2)
                }
                (Err(fault), None) => {
                    self.link.failed(&fault);
                    pauses.next()
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                ask = inbox.asks.recv() => asked = ask,
            }
        }
    }

    async fn connect(&self) -> Result<Session, Fault> {
        let line = Line::open(&self.broker).await?;
        let confirms = Arc::new(Confirms::default());
        let channel = line.channel(Some(Arc::clone(&confirms))).await?;
        self.topology.declare(&line, &channel).await?;
        line.step(None, channel.confirm_select(ConfirmSelectArguments::new(false))).await?;
        let session = Session { line, channel, confirms, waits: 0 };
        self.try_session(&session).await?;
        Ok(session)
    }

    /// Whether a new connection can be used: not every right is asked for before something is sent.
    async fn try_session(&self, session: &Session) -> Result<(), Fault> {
        let batch = Arc::new(Batch::new(1));
        session.confirms.expect(&batch, 0);
        self.publish(session, Letter::trial()).await?;
        tokio::select! {
            _ = batch.verdicts() => Ok(()),
            () = session.line.ended() => Err(session.line.fault(None)),
            () = tokio::time::sleep(TRIAL) => Err(Fault::Unconfirmed),
        }
    }

    /// Sends until the connection ends or it has to stop; answers why.
    async fn serve(&self, mut session: Session, inbox: &mut Inbox) -> Fault {
        let fault = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Fault::Closed,
                () = session.line.ended() => break session.line.fault(None),
                ask = inbox.asks.recv() => answer(ask, Ok(())),
                Some(job) = inbox.jobs.recv() => {
                    if let Err(fault) = self.deliver(&mut session, job).await {
                        break fault;
                    }
                }
            }
        };
        session.confirms.end();
        session.line.close().await;
        fault
    }

    async fn deliver(&self, session: &mut Session, mut job: Job) -> Result<(), Fault> {
        while let Some(letter) = job.letters.next()
            && !job.batch.is_abandoned()
        {
            self.make_ready(session, letter.route).await?;
            if !session.line.is_open() || !session.confirms.expect(&job.batch, job.indices.start) {
                return Err(session.line.fault(None));
            }
            job.indices.start += 1;
            self.publish(session, letter).await?;
        }
        Ok(())
    }

    async fn publish(&self, session: &Session, letter: Letter) -> Result<(), Fault> {
        let Letter { route, recorded, mut properties, body } = letter;
        let arguments = BasicPublishArguments {
            routing_key: self.topology.name(route),
            mandatory: route != Route::Nowhere,
            ..BasicPublishArguments::default()
        };
        if recorded {
            self.marks.mark(&mut properties);
        }
        let published = session.channel.basic_publish(properties, body, arguments);
        published.await.map_err(|_| session.line.fault(None))
    }

    /// Waits for room in the window, and sees that the queue is there.
    async fn make_ready(&self, session: &mut Session, route: Route) -> Result<(), Fault> {
        tokio::select! {
            biased;
            () = session.confirms.room(self.window) => {}
            () = session.line.ended() => return Err(session.line.fault(None)),
            () = self.stop.cancelled() => return Err(Fault::Closed),
        }
        if let Route::Wait(power) = route
            && session.waits & (1 << power) == 0
        {
            self.topology.declare_wait(&session.line, &session.channel, power).await?;
            session.waits |= 1 << power;
        }
        Ok(())
    }
}

fn answer(ask: Option<Ask>, answer: Result<(), Fault>) {
    // Who asked may have gone.
    if let Some(ask) = ask {
        let _ = ask.send(answer);
    }
}
