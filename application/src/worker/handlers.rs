//! The kinds of task that Daybook itself can do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_accounts::Email;
use daybook_events::Lease;
use serde::Deserialize;

use super::{TaskFailure, TaskHandler};
use crate::{Mail, MailError, Mailer};

/// Sends a mail. At least once: when the worker dies between sending and acknowledging, the mail
/// is sent again, under the same Message-ID.
pub struct EmailHandler {
    mailer: Arc<dyn Mailer>,
}

impl std::fmt::Debug for EmailHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmailHandler").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailPayload {
    to: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    text: String,
}

impl EmailHandler {
    /// Sends through this mailer.
    pub fn new(mailer: Arc<dyn Mailer>) -> Self {
        Self { mailer }
    }

    /// What is wrong with a payload; `None` where it can be sent.
    pub fn fault(payload: &str) -> Option<String> {
        Self::read(payload).err()
    }

    fn read(payload: &str) -> Result<EmailPayload, String> {
        let shape = || {
            "the payload of send_email is an object with to, and optionally subject and text"
                .to_owned()
        };
        // Serde would take a list of the values for the object.
        if !payload.starts_with('{') {
            return Err(shape());
        }
        let payload: EmailPayload = serde_json::from_str(payload).map_err(|_| shape())?;
        if payload.to.parse::<Email>().is_err() {
            return Err("to is not an email address".to_owned());
        }
        if payload.subject.chars().any(char::is_control) {
            return Err("subject must be one line".to_owned());
        }
        Ok(payload)
    }
}

#[async_trait]
impl TaskHandler for EmailHandler {
    async fn handle(&self, lease: &Lease) -> Result<(), TaskFailure> {
        let EmailPayload { to, subject, text } =
            Self::read(lease.payload.get()).map_err(TaskFailure::Hopeless)?;
        let mail = Mail { message_id: format!("{}@daybook", lease.task_id), to, subject, text };
        self.mailer.send(&mail).await.map_err(|error| match error {
            MailError::Refused(_) => TaskFailure::Hopeless(error.to_string()),
            MailError::Unavailable(_) => TaskFailure::Retry(error.to_string()),
        })
    }
}

/// Says a line of text, takes its time, and says that it is done.
#[derive(Clone, Copy, Debug)]
pub struct TextHandler {
    duration: Duration,
}

impl TextHandler {
    /// What is wrong with a payload; `None` where it can be processed.
    pub fn fault(payload: &str) -> Option<String> {
        Self::read(payload).err()
    }

    fn read(payload: &str) -> Result<String, String> {
        serde_json::from_str(payload).map_err(|_| "the payload of text is a string".to_owned())
    }

    /// Takes so long for each.
    pub const fn new(duration: Duration) -> Self {
        Self { duration }
    }
}

#[async_trait]
impl TaskHandler for TextHandler {
    async fn handle(&self, lease: &Lease) -> Result<(), TaskFailure> {
        let text = Self::read(lease.payload.get()).map_err(TaskFailure::Hopeless)?;
        tracing::info!(task_id = %lease.task_id, "Processing: {text}");
        tokio::time::sleep(self.duration).await;
        tracing::info!(task_id = %lease.task_id, "Done.");
        Ok(())
    }
}
