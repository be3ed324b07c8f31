//! Mail: handed to an SMTP server, or written to the log where none is configured.
//!
//! It knows the mail port of `daybook-application` and the SMTP client; neither the client's types
//! nor its error texts, which may quote addresses, leave the crate. Another way of sending mail is
//! another [`daybook_application::Mailer`] in a file of its own.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod log;
mod smtp;

pub use log::LogMailer;
pub use smtp::{SmtpConfigError, SmtpMailer};
