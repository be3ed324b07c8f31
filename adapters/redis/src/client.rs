//! The connection as the cache and the bus see it.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use daybook_events::Topic;
use redis::RedisResult;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::address::Address;
use crate::channels::{Channels, Raw};
use crate::guard::guard_key;
use crate::link::Link;
use crate::listen::{self, Messages};
use crate::near;
use crate::scripts::PROBE;
use crate::settings::{RedisConfigError, RedisSettings};
use crate::supervisor;
use crate::trouble::RedisTrouble;
use crate::witness;

/// How many calls fail one after the other until the connection is doubted.
const DOUBT: u32 = 3;

/// How long who wants to listen waits for the server to confirm it.
const CONFIRMATION: Duration = Duration::from_secs(2);

/// The longest namespace.
const NAMESPACE: usize = 64;

/// How long a look at whether the server does what is needed may take.
const TRIAL: Duration = Duration::from_millis(800);

/// How long the first word on whether Redis can be used may take.
const FIRST_WORD: Duration = Duration::from_secs(3);

/// A connection to Redis that is kept up in the background; clones share it.
///
/// It is made on first use, by a task of the runtime it is used on, and ends with the last clone.
/// Calls that fail one after the other open a breaker: then every call fails at once, until the
/// server has answered again.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Ends with this.
    supervisor: OnceLock<AbortOnDropHandle<()>>,
}

/// What the calls and the task that keeps the connection up have in common.
pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) near: Option<NonZeroUsize>,
    pub(crate) command_timeout: Duration,
    pub(crate) channels: Arc<Channels>,
    events_channel: Box<str>,
    /// What every name begins with.
    namespace: Box<str>,
    /// Calls failed: is it still there?
    pub(crate) doubted: Notify,
    failures: AtomicU32,
    outages: AtomicU64,
    state: watch::Sender<State>,
    /// What the server refuses, although it answers.
    refused: Refused,
}

/// What the server refused when it was last asked for.
#[derive(Default)]
struct Refused {
    publishing: Mutex<Option<RedisTrouble>>,
}

impl Refused {
    /// How publishing ended.
    fn note(&self, ended: Result<(), &RedisTrouble>) {
        let refused = ended.err().filter(|trouble| !trouble.is_of_the_connection()).cloned();
        *self.publishing.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    fn publishing(&self) -> Option<RedisTrouble> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How it stands with the connection.
#[derive(Clone)]
pub(crate) enum State {
    /// Nobody has connected yet.
    Starting,
    Up(Link),
    /// It is there, and does not answer in time.
    Stalled(Link),
    Down(RedisTrouble),
}

impl Shared {
    pub(crate) fn set(&self, state: State) {
        if matches!(state, State::Stalled(_) | State::Down(_)) {
            self.outages.fetch_add(1, Ordering::SeqCst);
        }
        self.failures.store(0, Ordering::Relaxed);
        self.state.send_replace(state);
    }

    /// It answers; where it did so all the time, nobody is disturbed.
    pub(crate) fn up_again(&self, link: &Link) {
        self.state.send_if_modified(|state| {
            let stalled = matches!(state, State::Stalled(_));
            if stalled {
                self.failures.store(0, Ordering::Relaxed);
                *state = State::Up(link.clone());
            }
            stalled
        });
    }

    /// Whether so many calls failed that it may not be there any more.
    pub(crate) fn is_doubted(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= DOUBT
    }

    /// Why the server does not do what is needed, although it answers: all of that is tried.
    pub(crate) async fn trial(&self, link: &Link) -> Option<RedisTrouble> {
        let tried = async {
            self.try_scripts(link.clone()).await?;
            self.try_publishing(link.clone()).await
        };
        match timeout(TRIAL, tried).await {
            Ok(Ok(())) => self.refused(),
            Ok(Err(error)) => Some(RedisTrouble::of(&error, &self.address)),
            Err(_) => Some(RedisTrouble::not_answering(&self.address)),
        }
    }

    /// Does to keys of every kind what the cache does.
    async fn try_scripts(&self, mut link: Link) -> RedisResult<()> {
        for kind in ["account:", "order:", witness::KEYS] {
            let key = format!("{}{kind}probe", self.namespace);
            PROBE.run::<()>(&mut link, &key, "probe", &["p"], None).await?;
            let mut both = redis::pipe();
            near::ask_for_both(&mut both, &key, &guard_key(&key));
            both.query_async::<(Vec<u8>, Option<Vec<u8>>)>(&mut link).await?;
        }
        Ok(())
    }

    /// Tells of no events.
    async fn try_publishing(&self, mut link: Link) -> RedisResult<()> {
        link.publish(&[(self.events_channel.to_string(), b"[]".to_vec())]).await
    }

    /// What was refused when it was needed: the channels of notifications can't be tried, as others
    /// would hear it.
    fn refused(&self) -> Option<RedisTrouble> {
        self.channels.refused().or_else(|| self.refused.publishing())
    }

    /// Something was not done that was asked for: what others believe of it may be wrong.
    fn missed(&self) {
        self.outages.fetch_add(1, Ordering::SeqCst);
    }

    fn failed(&self) {
        self.missed();
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.is_doubted() {
            self.doubted.notify_one();
        }
    }
}

impl fmt::Display for Redis {
    /// Where it is: the host and port, without a user name or a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.shared().address, f)
    }
}

impl Redis {
    /// Takes the settings; connects to nothing yet.
    ///
    /// # Errors
    /// [`RedisConfigError`] where they can never work. A server that can't be reached is none.
    #[expect(clippy::needless_pass_by_value, reason = "nobody needs settings after they are used")]
    pub fn new(settings: RedisSettings) -> Result<Self, RedisConfigError> {
        let address = Address::parse(&settings.url)?;
        if address.is_cluster() && settings.near_cache.is_some() {
            return Err(RedisConfigError::NearCacheOfCluster);
        }
        let events = &settings.events_channel;
        if events.is_empty() || events == "notifications" || events.starts_with("notifications:") {
            return Err(RedisConfigError::EventsChannel);
        }
        let namespace = namespace(&settings.namespace)?;
        if address.wants_tls() {
            // Fails where the process has chosen already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let shared = Arc::new(Shared {
            address,
            near: settings.near_cache,
            command_timeout: settings.command_timeout,
            channels: Arc::new(Channels::new()),
            events_channel: format!("{namespace}{}", settings.events_channel).into(),
            namespace,
            doubted: Notify::new(),
            failures: AtomicU32::new(0),
            outages: AtomicU64::new(0),
            state: watch::Sender::new(State::Starting),
            refused: Refused::default(),
        });
        let inner = Inner { shared, supervisor: OnceLock::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether Redis can be used now.
    ///
    /// # Errors
    /// Why it can't.
    pub async fn check(&self) -> Result<(), RedisTrouble> {
        let shared = self.shared();
        match timeout(FIRST_WORD, self.beyond_starting()).await {
            Ok(State::Up(_)) => Ok(()),
            Ok(State::Down(trouble)) => Err(trouble),
            Ok(State::Starting | State::Stalled(_)) | Err(_) => {
                Err(RedisTrouble::not_answering(&shared.address))
            }
        }
    }

    /// Whether the cache can be used now: what it does is tried.
    ///
    /// # Errors
    /// Why it can't.
    pub(crate) async fn check_cache(&self) -> Result<(), RedisTrouble> {
        self.check().await?;
        self.call(TRIAL, true, |link| self.shared().try_scripts(link)).await
    }

    /// Whether the bus can be used now: what it does is tried.
    ///
    /// # Errors
    /// Why it can't.
    pub(crate) async fn check_bus(&self) -> Result<(), RedisTrouble> {
        self.check().await?;
        let shared = self.shared();
        self.call(TRIAL, true, |link| shared.try_publishing(link)).await?;
        shared.refused().map_or(Ok(()), Err)
    }

    /// Listens on a topic from now on, to whoever publishes there: also to those who know nothing
    /// of Daybook. Where Redis can't be reached it hears a [`crate::Heard::Missed`] once it can, and
    /// what is published from then on. Who does not listen is kept a bounded number of messages.
    pub async fn listen_to(&self, topic: &Topic) -> Messages {
        listen::listen(self, topic).await
    }

    /// Remembers how publishing ended.
    pub(crate) fn note_publishing(&self, ended: Result<(), &RedisTrouble>) {
        self.inner.shared.refused.note(ended);
    }

    /// A key or channel as it is called here.
    pub(crate) fn named<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match &*self.inner.shared.namespace {
            "" => Cow::Borrowed(name),
            namespace => Cow::Owned(format!("{namespace}{name}")),
        }
    }

    /// How often a call failed, or the connection was lost or stalled.
    pub(crate) fn outages(&self) -> u64 {
        self.shared().outages.load(Ordering::SeqCst)
    }

    /// Does something with the connection, within `limit`; at once not, where it is down, or
    /// doubted and `patient` is not set.
    pub(crate) async fn call<T, F>(
        &self,
        limit: Duration,
        patient: bool,
        work: impl FnOnce(Link) -> F,
    ) -> Result<T, RedisTrouble>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let shared = self.shared();
        let called = async {
            let link = match self.beyond_starting().await {
                State::Up(link) => link,
                State::Stalled(link) if patient => link,
                State::Down(trouble) => return Err(trouble),
                State::Starting | State::Stalled(_) => {
                    return Err(RedisTrouble::not_answering(&shared.address));
                }
            };
            let answer = work(link).await;
            answer.map_err(|error| {
                let trouble = RedisTrouble::of(&error, &shared.address);
                if trouble.is_of_the_connection() {
                    shared.failed();
                } else {
                    shared.missed();
                }
                trouble
            })
        };
        let Ok(answer) = timeout(limit, called).await else {
            shared.failed();
            return Err(RedisTrouble::not_answering(&shared.address));
        };
        if answer.is_ok() {
            shared.failures.store(0, Ordering::Relaxed);
        }
        answer
    }

    /// Listens on a channel from now on: the server has confirmed it, or else can't be reached,
    /// and the first to be heard will be that something was missed.
    pub(crate) async fn listen(&self, channel: &str) -> broadcast::Receiver<Raw> {
        let shared = self.shared();
        let mut waiting = shared.channels.want(channel);
        let mut state = shared.state.subscribe();
        let confirmed = async {
            tokio::select! {
                _ = waiting.confirmed.wait_for(|confirmed| *confirmed) => {}
                _ = state.wait_for(|state| matches!(state, State::Down(_))) => {}
            }
        };
        let _ = timeout(CONFIRMATION, confirmed).await;
        shared.channels.listen(&waiting)
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        self.inner.shared.command_timeout
    }

    pub(crate) fn events_channel(&self) -> &str {
        &self.inner.shared.events_channel
    }

    async fn beyond_starting(&self) -> State {
        let shared = self.shared();
        let state = shared.state.borrow().clone();
        if !matches!(state, State::Starting) {
            return state;
        }
        let mut state = shared.state.subscribe();
        let started = state.wait_for(|state| !matches!(state, State::Starting)).await;
        started.map_or(State::Starting, |state| state.clone())
    }

    /// What is shared with the task that keeps the connection up, once that runs.
    fn shared(&self) -> &Arc<Shared> {
        let Inner { shared, supervisor, .. } = &*self.inner;
        supervisor.get_or_init(|| {
            AbortOnDropHandle::new(tokio::spawn(supervisor::keep_up(Arc::clone(shared))))
        });
        shared
    }
}

/// What names begin with in this namespace.
fn namespace(name: &str) -> Result<Box<str>, RedisConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match name {
        "" => Ok("".into()),
        name if name.len() <= NAMESPACE && name.bytes().all(plain) => Ok(format!("{name}:").into()),
        _ => Err(RedisConfigError::Namespace),
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("at", &self.inner.shared.address.to_string())
            .finish_non_exhaustive()
    }
}
