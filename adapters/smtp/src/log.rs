//! Mail where no server is configured.

use async_trait::async_trait;
use daybook_application::{Mail, MailError, Mailer};

/// Writes to the log that there was a mail; what it says and to whom only where the level is `debug`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogMailer;

#[async_trait]
impl Mailer for LogMailer {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        tracing::info!(
            message_id = mail.message_id,
            to = masked(&mail.to),
            subject_length = mail.subject.len(),
            text_length = mail.text.len(),
            "A mail is only logged: no SMTP server is configured"
        );
        // For whoever tries things out and asks for it: a mail is somebody's.
        tracing::debug!(
            message_id = mail.message_id,
            to = mail.to,
            subject = mail.subject,
            text = mail.text,
            "The mail"
        );
        Ok(())
    }
}

/// An address of which the first character and the domain are left: `a***@example.com`.
fn masked(address: &str) -> String {
    // A quoted local part may itself hold an @.
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            let first = local.chars().next().map_or_else(String::new, String::from);
            format!("{first}***@{domain}")
        }
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn an_address_is_masked() {
        for (address, shown) in [
            ("alice@example.com", "a***@example.com"),
            ("a@example.com", "a***@example.com"),
            ("übung@example.com", "ü***@example.com"),
            ("\"odd@local\"@example.com", "\"***@example.com"),
            ("@example.com", "***@example.com"),
            ("alice", "***"),
            ("", "***"),
        ] {
            assert_eq!(masked(address), shown);
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn one_line_says_that_there_was_a_mail_and_not_what_it_said() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let mail = Mail {
            message_id: "task-1@daybook".to_owned(),
            to: "alice@example.com".to_owned(),
            subject: "Your order".to_owned(),
            text: "The secret is 42".to_owned(),
        };
        LogMailer.send(&mail).await.unwrap();
        drop(guard);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in
            ["INFO", "task-1@daybook", "a***@example.com", "subject_length=10", "text_length=16"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(
            !["alice", "Your order", "secret"].iter().any(|said| text.contains(said)),
            "{text}"
        );
    }
}
