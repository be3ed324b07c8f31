//! The channels this process listens on, and who listens to them.
//!
//! What comes in is handed on by the task that reads the connection, so that everyone hears it in
//! the order in which the server said it, and a [`Raw::Missed`] stands exactly where a connection
//! took over from the one before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use redis::{FromRedisValue, PushInfo, PushKind, Value};
use tokio::sync::{Notify, broadcast, watch};
use tracing::warn;

use crate::cloud_event::Told;
use crate::trouble::RedisTrouble;

/// The largest message that is listened to.
pub(crate) const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// How many messages are kept for who has not listened yet.
const KEPT: usize = 128;

/// What is heard on a channel.
#[derive(Clone)]
pub(crate) enum Raw {
    /// Something may have been said that was not heard.
    Missed,
    Message(Arc<Message>),
}

/// A message as it was published.
pub(crate) struct Message {
    pub(crate) payload: Vec<u8>,
    /// What it tells, read once for all who listen; `None` where it can't be read.
    pub(crate) events: OnceLock<Option<Told>>,
}

/// The channels that are listened on.
pub(crate) struct Channels {
    table: Mutex<Table>,
    /// Somebody wants to listen on a channel that nobody asked the server for yet.
    pub(crate) wanted: Notify,
}

struct Table {
    /// The connection whose word counts: those before it may still have something to read.
    connection: u64,
    by_name: HashMap<Box<str>, Channel>,
}

struct Channel {
    heard: broadcast::Sender<Raw>,
    /// Whether the server was asked for it on this connection.
    asked: bool,
    /// Why the server could not be asked for it.
    refused: Option<RedisTrouble>,
    /// Whether the server said that it sends what is published on it.
    confirmed: watch::Sender<bool>,
}

/// Somebody who wants to listen.
pub(crate) struct Waiting {
    pub(crate) confirmed: watch::Receiver<bool>,
    /// Also keeps the channel from being given up.
    heard: broadcast::Receiver<Raw>,
}

impl Channels {
    pub(crate) fn new() -> Self {
        let table = Mutex::new(Table { connection: 0, by_name: HashMap::new() });
        Self { table, wanted: Notify::new() }
    }

    /// Begins a new connection: nothing is asked for or confirmed on it, and what one before it
    /// still says is not listened to. Answers its number.
    pub(crate) fn begin(&self) -> u64 {
        let mut table = self.table();
        table.connection = table.connection.wrapping_add(1);
        for channel in table.by_name.values_mut() {
            channel.asked = false;
            channel.refused = None;
            channel.confirmed.send_replace(false);
        }
        table.connection
    }

    /// Wants to listen on a channel.
    pub(crate) fn want(&self, name: &str) -> Waiting {
        let mut table = self.table();
        let channel = table.by_name.entry(name.into()).or_insert_with(|| Channel {
            heard: broadcast::Sender::new(KEPT),
            asked: false,
            refused: None,
            confirmed: watch::Sender::new(false),
        });
        if !channel.asked {
            self.wanted.notify_one();
        }
        Waiting { confirmed: channel.confirmed.subscribe(), heard: channel.heard.subscribe() }
    }

    /// Listens from now on. Where the channel is not confirmed yet, the first to be heard is that
    /// something was missed.
    pub(crate) fn listen(&self, waiting: &Waiting) -> broadcast::Receiver<Raw> {
        // With the table locked, the confirmation has been handed on or is yet to be.
        let _table = self.table();
        waiting.heard.resubscribe()
    }

    /// Takes the channels that the server has yet to be asked for, as asked for.
    pub(crate) fn to_ask_for(&self) -> Vec<Box<str>> {
        let mut table = self.table();
        let channels = table.by_name.iter_mut().filter(|(_, channel)| !channel.asked);
        channels
            .map(|(name, channel)| {
                channel.asked = true;
                name.clone()
            })
            .collect()
    }

    /// Asking for a channel failed.
    pub(crate) fn not_asked(&self, name: &str, trouble: RedisTrouble) {
        if let Some(channel) = self.table().by_name.get_mut(name) {
            channel.asked = false;
            channel.refused = Some(trouble);
        }
    }

    /// Why a channel that somebody listens on can't be had.
    pub(crate) fn refused(&self) -> Option<RedisTrouble> {
        self.table().by_name.values().find_map(|channel| channel.refused.clone())
    }

    /// Removes the channels that nobody listens on any more.
    pub(crate) fn give_up(&self) -> Vec<Box<str>> {
        let mut table = self.table();
        let given_up = table.by_name.extract_if(|_, channel| channel.heard.receiver_count() == 0);
        given_up.map(|(name, _)| name).collect()
    }

    /// Hands on what the server said on a connection.
    pub(crate) fn hear(&self, connection: u64, push: PushInfo) {
        let confirms = match push.kind {
            PushKind::Subscribe => true,
            PushKind::Message => false,
            _ => return,
        };
        let mut data = push.data.into_iter();
        let Some(Ok(name)) = data.next().map(String::from_redis_value) else { return };
        let mut table = self.table();
        if table.connection != connection {
            return;
        }
        let Some(channel) = table.by_name.get_mut(&*name) else { return };
        let raw = if confirms {
            channel.refused = None;
            channel.confirmed.send_replace(true);
            Raw::Missed
        } else {
            data.next().map_or(Raw::Missed, |payload| message(&name, payload))
        };
        // Fails where nobody listens, which is nobody's trouble.
        let _ = channel.heard.send(raw);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(channel: &str, payload: Value) -> Raw {
    match payload {
        Value::BulkString(payload) if payload.len() <= MAX_MESSAGE => {
            Raw::Message(Arc::new(Message { payload, events: OnceLock::new() }))
        }
        _ => {
            warn!(channel, "a message in Redis is too large to be listened to");
            Raw::Missed
        }
    }
}
