//! The kinds of task that Daybook itself can do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_accounts::Email;
use daybook_events::{Lease, Line, TaskKind, is_control};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{TaskFailure, TaskHandler};
use crate::{Mail, MailError, Mailer};

/// What a mail is about, where it says so: one line, at most 200 characters.
type Subject = Line<200>;

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

    /// Whether a task of this kind is a mail.
    pub fn is_mail(kind: &TaskKind) -> bool {
        kind.as_str() == TaskKind::SEND_EMAIL
    }

    /// To whom a task is a mail; `None` for another task, and for a mail that can't be sent.
    pub(crate) fn recipient(kind: &TaskKind, payload: &RawValue) -> Option<Email> {
        let mail = Self::is_mail(kind).then(|| Self::read(payload.get()))?.ok()?;
        mail.to.parse().ok()
    }

    /// What is wrong with the payload of a new task; `None` where it can be sent. Tasks that were
    /// taken before, and those of other programs, are only held to what no mail may have.
    pub fn fault(payload: &str) -> Option<String> {
        Self::check(payload).err()
    }

    fn check(payload: &str) -> Result<(), String> {
        let EmailPayload { to, subject, .. } = Self::read(payload)?;
        Email::new(&to).map_err(|error| format!("to is {error}"))?;
        if !subject.is_empty() {
            Subject::new(&subject).map_err(|error| format!("subject: {error}"))?;
        }
        Ok(())
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
        let mut payload: EmailPayload = serde_json::from_str(payload).map_err(|_| shape())?;
        if payload.to.parse::<Email>().is_err() {
            return Err("to is not an email address".to_owned());
        }
        if payload.subject.chars().any(is_control) {
            return Err("subject must be one line".to_owned());
        }
        // SMTP knows a line's end as a pair, and neither half of it alone.
        payload.text = payload.text.replace("\r\n", "\n").replace('\r', "\n");
        if payload.text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err("text must have no control characters but line ends and tabs".to_owned());
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mail_that_could_only_fail_or_mislead_is_refused() {
        let fault = |more: serde_json::Value| {
            let mut mail = json!({ "to": "ada@example.com", "subject": "Hello", "text": "Hi" });
            mail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            EmailHandler::fault(&mail.to_string())
        };
        for good in [
            json!({}),
            json!({ "subject": "", "text": "" }),
            json!({ "text": "two\r\nlines\rand\n\tmore" }),
            json!({ "text": "שלום\u{2067}!" }),
            json!({ "subject": "ü".repeat(200) }),
        ] {
            assert_eq!(fault(good.clone()), None, "{good}");
        }
        for bad in [
            json!({ "subject": "x".repeat(20_000) }),
            json!({ "subject": "a\u{2028}b" }),
            json!({ "subject": "\u{202e}olleH" }),
            json!({ "subject": "\u{200b}" }),
            json!({ "subject": "a\r\nBcc: eve@example.com" }),
            json!({ "text": "a\0b" }),
            json!({ "text": "\u{1b}[2J" }),
            json!({ "to": "Ada <ada@example.com>" }),
            json!({ "to": "ada@example.com, eve@example.com" }),
            json!({ "to": "ada@example.com\r\nRCPT TO:<eve@example.com>" }),
            json!({ "to": "\u{200b}ada@example.com" }),
            json!({ "to": format!("{}@example.com", "a".repeat(65)) }),
        ] {
            assert!(fault(bad.clone()).is_some(), "{bad}");
        }
    }

    #[test]
    fn lines_of_a_text_end_as_lines() {
        let payload = json!({ "to": "ada@example.com", "text": "a\rb\r\nc\n\rd" }).to_string();
        assert_eq!(EmailHandler::read(&payload).unwrap().text, "a\nb\nc\n\nd");
    }
}
