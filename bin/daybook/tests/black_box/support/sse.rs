//! A reader of server-sent events.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use ureq::Body;
use ureq::http::Response;

use super::PATIENCE;

/// A stream that is being listened to. Its reader ends with the connection.
pub(crate) struct Sse(Receiver<Message>);

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its id: the position.
    pub(crate) id: String,
    /// Its name: the event's type.
    pub(crate) event: String,
    /// Its data.
    pub(crate) data: String,
}

impl Message {
    /// The data's JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Sse {
    /// Listens to the body of a reply.
    #[track_caller]
    pub(crate) fn new(asked: &str, response: Response<Body>) -> Self {
        let (status, kind) = (response.status(), response.headers().get("content-type").cloned());
        assert_eq!(status, 200, "{asked}");
        let kind = kind.unwrap();
        assert!(kind.to_str().unwrap().starts_with("text/event-stream"), "{asked}: {kind:?}");
        let (sender, messages) = mpsc::channel();
        let mut lines = BufReader::new(response.into_body().into_reader()).lines();
        thread::spawn(move || {
            let mut message = Message::default();
            while let Some(Ok(line)) = lines.next() {
                if !line.is_empty() {
                    message.take(&line);
                } else if !message.data.is_empty()
                    && sender.send(std::mem::take(&mut message)).is_err()
                {
                    return;
                }
            }
        });
        Self(messages)
    }

    /// The next event.
    #[track_caller]
    pub(crate) fn next(&self) -> Message {
        match self.0.recv_timeout(PATIENCE) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("no event came in time"),
            Err(RecvTimeoutError::Disconnected) => panic!("the stream ended"),
        }
    }

    /// The next event of one of these names; others are passed over.
    #[track_caller]
    pub(crate) fn next_of(&self, names: &[&str]) -> Message {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let message = self.next();
            if names.contains(&message.event.as_str()) {
                return message;
            }
        }
        panic!("none of {names:?} came in time")
    }

    /// Reads on until the server ends the stream.
    #[track_caller]
    pub(crate) fn until_its_end(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("the stream was not ended in time"),
            }
        }
    }
}

impl Message {
    fn take(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.event),
            "data" if self.data.is_empty() => value.clone_into(&mut self.data),
            "data" => {
                self.data.push('\n');
                self.data.push_str(value);
            }
            // A comment, or how long to wait before coming back.
            _ => {}
        }
    }
}
