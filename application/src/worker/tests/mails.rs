//! The handler of mails.

use super::*;

/// Answers what the test wants, and remembers what it was given.
struct FakeMailer {
    result: Result<(), MailError>,
    sent: Mutex<Vec<Mail>>,
}

#[async_trait]
impl Mailer for FakeMailer {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        self.sent.lock().unwrap().push(mail.clone());
        self.result.clone()
    }
}

fn email(payload: &str) -> Lease {
    let payload = RawValue::from_string(payload.to_owned()).unwrap();
    Lease { payload, ..lease(1, TaskKind::SEND_EMAIL, 1) }
}

#[tokio::test]
async fn a_mail_has_the_same_message_id_at_every_attempt() {
    let mailer = Arc::new(FakeMailer { result: Ok(()), sent: Mutex::default() });
    let handler = EmailHandler::new(Arc::clone(&mailer) as _);
    let lease = email(r#"{"to":"alice@example.com","subject":"Hello","text":"Bye"}"#);
    handler.handle(&lease).await.unwrap();
    handler.handle(&Lease { attempt: 2, token: 9, ..lease }).await.unwrap();
    let mail = Mail {
        message_id: format!("{}@daybook", task(1)),
        to: "alice@example.com".to_owned(),
        subject: "Hello".to_owned(),
        text: "Bye".to_owned(),
    };
    assert_eq!(*mailer.sent.lock().unwrap(), [mail.clone(), mail]);
}

#[tokio::test]
async fn a_refused_mail_is_hopeless_and_one_that_was_not_taken_is_tried_again() {
    let lease = email(r#"{"to":"alice@example.com"}"#);
    for (error, retried) in [
        (MailError::Refused("550".to_owned()), false),
        (MailError::Unavailable("451".to_owned()), true),
    ] {
        let mailer = FakeMailer { result: Err(error), sent: Mutex::default() };
        let failure = EmailHandler::new(Arc::new(mailer)).handle(&lease).await.unwrap_err();
        assert_eq!(matches!(failure, TaskFailure::Retry(_)), retried, "{failure:?}");
    }
}

#[tokio::test]
async fn a_payload_that_is_no_mail_is_hopeless_and_nothing_is_sent() {
    let mailer = Arc::new(FakeMailer { result: Ok(()), sent: Mutex::default() });
    let handler = EmailHandler::new(Arc::clone(&mailer) as _);
    for payload in [
        "null",
        r#""alice@example.com""#,
        r#"{"subject":"no address"}"#,
        r#"{"to":"alice"}"#,
        r#"{"to":"alice@example.com","subject":"two\nlines"}"#,
        r#"{"to":"alice@example.com","cc":"bob@example.com"}"#,
    ] {
        let failure = handler.handle(&email(payload)).await.unwrap_err();
        assert!(matches!(failure, TaskFailure::Hopeless(_)), "{payload}: {failure:?}");
        assert!(EmailHandler::fault(payload).is_some(), "{payload}");
    }
    assert!(mailer.sent.lock().unwrap().is_empty());
}
