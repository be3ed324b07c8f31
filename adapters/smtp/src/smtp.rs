//! Mail through an SMTP server.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use daybook_application::{Mail, MailError, Mailer};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use thiserror::Error;
use url::Url;

/// How long a mail may take, from looking up the server to its last answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Answers that speak of this client or of the server, not of the mail: not available, login
/// required, too weak or refused, encryption required.
const NOT_ABOUT_THE_MAIL: [u16; 5] = [521, 530, 534, 535, 538];

/// Hands mails to an SMTP server, each over a connection of its own: one that was given up halfway
/// through a mail has answers under way that would be taken for those to the next.
pub struct SmtpMailer {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    timeout: Duration,
}

impl fmt::Debug for SmtpMailer {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpMailer").finish_non_exhaustive()
    }
}

/// Why mail can't be set up. What was configured is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SmtpConfigError {
    /// The URL can't be understood.
    #[error(
        "the SMTP URL is not smtps://user:password@host:port, or smtp://… with ?tls=required, \
         ?tls=opportunistic or nothing for no encryption (special characters percent-encoded)"
    )]
    Url,
    /// The URL says something that nobody would read.
    #[error(
        "the SMTP URL says something that means nothing: after ? there may be tls once, with smtp:// \
         alone; a user name needs a password; the path, if any, is the name to greet with"
    )]
    Unread,
    /// The sender can't be understood.
    #[error("the sender of mail is not an address such as Daybook <daybook@example.com>")]
    From,
}

impl SmtpMailer {
    /// Sends through the server at `url` (`smtps://user:password@host:port`, or `smtp://…` with
    /// `?tls=required` or `?tls=opportunistic` for STARTTLS), as `from` (`Daybook
    /// <daybook@example.com>`). The server is not asked until there is a mail.
    ///
    /// # Errors
    /// [`SmtpConfigError`].
    pub fn new(url: &str, from: &str) -> Result<Self, SmtpConfigError> {
        let from = from.parse().map_err(|_| SmtpConfigError::From)?;
        check(url)?;
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| SmtpConfigError::Url)?
            .timeout(Some(TIMEOUT))
            .build();
        Ok(Self { server, from, timeout: TIMEOUT })
    }

    fn message(&self, mail: &Mail) -> Result<Message, MailError> {
        let to: Address =
            mail.to.parse().map_err(|_| MailError::Refused("the address is not one".to_owned()))?;
        Message::builder()
            .message_id(Some(format!("<{}>", mail.message_id)))
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject.as_str())
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
            .map_err(|_| MailError::Refused("the mail can't be put together".to_owned()))
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let message = self.message(mail)?;
        // The client itself bounds nothing but connecting.
        match tokio::time::timeout(self.timeout, self.server.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure(&error, mail)),
            Err(_) => Err(MailError::Unavailable("it took too long".to_owned())),
        }
    }
}

/// Refuses what the client would leave unread: without a password it would not log in, and without
/// `tls` it would not encrypt.
fn check(url: &str) -> Result<(), SmtpConfigError> {
    let url = Url::parse(url).map_err(|_| SmtpConfigError::Url)?;
    let names: Vec<_> = url.query_pairs().map(|(name, _)| name).collect();
    let options = match names.as_slice() {
        [] => url.query().is_none_or(str::is_empty),
        [name] => name == "tls" && url.scheme() == "smtp",
        _ => false,
    };
    let login = url.username().is_empty() == url.password().is_none();
    let name = url.path().trim_start_matches('/');
    let greeting = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    let read = options && login && greeting && url.fragment().is_none();
    if read { Ok(()) } else { Err(SmtpConfigError::Unread) }
}

/// What became of a mail, in words of our own: a server's text may quote the address.
fn failure(error: &smtp::Error, mail: &Mail) -> MailError {
    if let Some(code) = error.status().map(u16::from) {
        let answer = format!("the server answered {code}");
        return if error.is_permanent() && !NOT_ABOUT_THE_MAIL.contains(&code) {
            MailError::Refused(answer)
        } else {
            MailError::Unavailable(answer)
        };
    }
    if error.is_client() && !mail.to.is_ascii() {
        return MailError::Refused("the server takes no such international address".to_owned());
    }
    MailError::Unavailable(if error.is_tls() {
        "no encrypted connection could be made".to_owned()
    } else if error.is_response() {
        "the server's answer could not be understood".to_owned()
    } else if error.is_client() {
        "the server lacks what the configuration asks for".to_owned()
    } else {
        cause(error).map_or_else(|| "no connection".to_owned(), |cause| cause.kind().to_string())
    })
}

fn cause(error: &smtp::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(cause) = error.downcast_ref() {
            return Some(cause);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests;
