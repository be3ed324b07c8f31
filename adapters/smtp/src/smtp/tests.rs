//! Against a server that speaks just enough SMTP.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

const FROM: &str = "Daybook <daybook@example.com>";

/// What the server answers; each names what it is about. An empty answer is none at all.
#[derive(Clone, Copy)]
struct Answers {
    greeting: &'static str,
    login: &'static str,
    recipient: &'static str,
    data: &'static str,
}

const FRIENDLY: Answers = Answers {
    greeting: "220 test ESMTP",
    login: "235 welcome",
    recipient: "250 ok",
    data: "250 taken",
};

/// A server, and what was handed to it.
struct Server {
    address: String,
    mails: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (taken, mails) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, answers, taken.clone()));
            }
        });
        Self { address, mails }
    }

    fn mailer(&self) -> SmtpMailer {
        SmtpMailer::new(&format!("smtp://{}", self.address), FROM).unwrap()
    }
}

/// Talks until the client goes away.
async fn talk(stream: TcpStream, answers: Answers, taken: mpsc::UnboundedSender<String>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut answer = answers.greeting;
    loop {
        if !answer.is_empty() && writer.write_all(format!("{answer}\r\n").as_bytes()).await.is_err()
        {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else { return };
        answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-test\r\n250 AUTH PLAIN",
            "AUTH" => answers.login,
            "MAIL" => "250 ok",
            "RCPT" => answers.recipient,
            "QUIT" => "221 bye",
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await.unwrap();
                let mut mail = String::new();
                while let Ok(Some(line)) = lines.next_line().await
                    && line != "."
                {
                    mail += &line;
                    mail += "\n";
                }
                taken.send(mail).unwrap();
                answers.data
            }
            _ => "502 what?",
        };
    }
}

fn mail() -> Mail {
    Mail {
        message_id: "0190a1b2-task@daybook".to_owned(),
        to: "alice@example.org".to_owned(),
        subject: "Your order".to_owned(),
        text: "It is paid.\n.\nRegards".to_owned(),
    }
}

fn head(mail: &str) -> Vec<&str> {
    mail.split("\n\n").next().unwrap_or_default().lines().collect()
}

#[tokio::test]
async fn a_mail_is_handed_over_with_its_own_message_id() {
    let mut server = Server::start(FRIENDLY).await;
    let mailer = server.mailer();
    for _attempt in 0..2 {
        mailer.send(&mail()).await.unwrap();
        let taken = server.mails.recv().await.unwrap();
        let head = head(&taken);
        assert!(head.contains(&"Message-ID: <0190a1b2-task@daybook>"), "{taken}");
        assert!(head.contains(&"To: alice@example.org"), "{taken}");
        assert!(head.contains(&"From: Daybook <daybook@example.com>"), "{taken}");
        assert!(head.contains(&"Subject: Your order"), "{taken}");
        // A line that is a single dot is doubled on the way.
        assert!(taken.contains("\n\nIt is paid.\n..\nRegards"), "{taken}");
    }
}

#[tokio::test]
async fn a_mail_in_any_language_arrives_as_ascii() {
    let mut server = Server::start(FRIENDLY).await;
    let text = "Über 100 €: 日本語".to_owned();
    let subject = "Grüße".to_owned();
    server.mailer().send(&Mail { text, subject, ..mail() }).await.unwrap();
    let taken = server.mails.recv().await.unwrap();
    assert!(taken.is_ascii(), "{taken}");
    assert!(taken.contains("Content-Type: text/plain; charset=utf-8"), "{taken}");
}

#[tokio::test]
async fn a_subject_adds_no_header() {
    let mut server = Server::start(FRIENDLY).await;
    let subject = "Hello\r\nBcc: eve@example.org".to_owned();
    server.mailer().send(&Mail { subject, ..mail() }).await.unwrap();
    let taken = server.mails.recv().await.unwrap();
    assert!(head(&taken).iter().all(|line| !line.starts_with("Bcc")), "{taken}");
}

#[tokio::test]
async fn a_refused_recipient_or_mail_is_refused_for_good_and_not_quoted() {
    let recipient = "550 5.1.1 <alice@example.org> unknown";
    for answers in [
        Answers { recipient, ..FRIENDLY },
        Answers { data: "554 5.7.1 alice@example.org sends spam", ..FRIENDLY },
    ] {
        let server = Server::start(answers).await;
        let error = server.mailer().send(&mail()).await.unwrap_err();
        assert!(matches!(error, MailError::Refused(_)), "{error}");
        assert!(!error.to_string().contains("alice"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_refused_without_asking_the_server() {
    let server = Server::start(Answers { greeting: "", ..FRIENDLY }).await;
    for to in ["", "alice", "alice@", "a@example.org, b@example.org", "A <a@example.org>", "a@b\n"]
    {
        let error = server.mailer().send(&Mail { to: to.to_owned(), ..mail() }).await.unwrap_err();
        assert!(matches!(error, MailError::Refused(_)), "{to:?}: {error}");
    }
}

#[tokio::test]
async fn an_international_address_is_refused_where_the_server_takes_none() {
    let server = Server::start(FRIENDLY).await;
    let to = "üli@example.org".to_owned();
    let error = server.mailer().send(&Mail { to, ..mail() }).await.unwrap_err();
    assert!(matches!(error, MailError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_has_no_time_or_no_sense_is_unavailable() {
    for answers in [
        Answers { greeting: "421 too busy", ..FRIENDLY },
        Answers { greeting: "HTTP/1.1 400 Bad Request", ..FRIENDLY },
        Answers { recipient: "450 4.2.1 try later", ..FRIENDLY },
        Answers { data: "451 4.3.0 try later", ..FRIENDLY },
    ] {
        let server = Server::start(answers).await;
        let error = server.mailer().send(&mail()).await.unwrap_err();
        assert!(matches!(error, MailError::Unavailable(_)), "{}: {error}", answers.greeting);
    }
}

#[tokio::test]
async fn a_refused_login_is_not_the_mails_fault() {
    let server = Server::start(Answers { login: "535 5.7.8 hunter2 is wrong", ..FRIENDLY }).await;
    let url = format!("smtp://daybook:hunter2@{}", server.address);
    let mailer = SmtpMailer::new(&url, FROM).unwrap();
    let error = mailer.send(&mail()).await.unwrap_err();
    assert_eq!(error, MailError::Unavailable("the server answered 535".to_owned()));
    assert!(!format!("{mailer:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    // Bound and let go: nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mailer = SmtpMailer::new(&format!("smtp://{address}"), FROM).unwrap();
    let error = mailer.send(&mail()).await.unwrap_err();
    assert_eq!(error, MailError::Unavailable("connection refused".to_owned()));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_unavailable_after_a_while() {
    for answers in [
        Answers { greeting: "", ..FRIENDLY },
        Answers { recipient: "", ..FRIENDLY },
        Answers { data: "", ..FRIENDLY },
    ] {
        let server = Server::start(answers).await;
        let mailer = SmtpMailer { timeout: Duration::from_millis(200), ..server.mailer() };
        let error = mailer.send(&mail()).await.unwrap_err();
        assert_eq!(error, MailError::Unavailable("it took too long".to_owned()));
    }
}

#[test]
fn a_configuration_that_can_not_be_understood_is_not_repeated() {
    for url in [
        "",
        "hunter2",
        "mail.example.com:25",
        "http://u:hunter2@mail.example.com",
        "smtp://u:hunter2@mail.example.com:99999",
        "smtp://u:hunter2@mail.example.com?tls=perhaps",
    ] {
        let error = SmtpMailer::new(url, FROM).unwrap_err();
        assert_eq!(error, SmtpConfigError::Url, "{url}");
        assert!(!error.to_string().contains("hunter2"));
    }
    assert_eq!(SmtpMailer::new("smtp://h", "nobody").unwrap_err(), SmtpConfigError::From);
}

#[test]
fn every_kind_of_encryption_can_be_configured() {
    for url in [
        "smtps://user:p%40ss@mail.example.com",
        "smtp://user:p%40ss@mail.example.com?tls=required",
        "smtp://mail.example.com:2525/daybook.example.com?tls=opportunistic",
        "smtp://[::1]:25",
    ] {
        assert!(SmtpMailer::new(url, "daybook@example.com").is_ok(), "{url}");
    }
}

#[test]
fn nothing_in_a_url_is_left_unread() {
    let refused = |url: &str| SmtpMailer::new(url, FROM).err();
    for url in [
        "smtp://host?tls=required&tls=opportunistic",
        "smtp://host?starttls=required",
        "smtp://host?tls=required&timeout=5",
        "smtps://host?tls=opportunistic",
        "smtp://hidden@host",
        "smtp://user:hidden@host#x",
        "smtp://host/a/b",
    ] {
        assert_eq!(refused(url), Some(SmtpConfigError::Unread), "{url}");
    }
    for url in ["smtp://host?tls=required", "smtps://user:p%40ss@host", "smtp://host:25/me.example"]
    {
        assert_eq!(refused(url), None, "{url}");
    }
}

/// Whatever is taken as an address can be sent to: both sides have the same rules.
#[tokio::test]
async fn an_address_that_is_taken_can_be_sent_to() {
    let long = "x".repeat(63);
    let domains: Vec<String> = [
        "example.com",
        "bücher.example",
        "xn--bcher-kva.example",
        "1.example",
        "a-b.example",
        "-a.example",
        "a-.example",
        "a..example",
        ".example",
        "example.",
        "a_b.example",
        "1.2.3.4",
        "[1.2.3.4]",
        "a\u{300}.example",
        "\u{300}a.example",
        "xn--.example",
        "xn--zzzzzzzz.example",
        "ab--c.example",
        "ß.example",
        "例え.テスト",
        "a。example",
        "x*y.example",
        "a\u{2024}b.example",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("{long}.example"), format!("{long}x.example"), [long.as_str(); 5].join(".")])
    .collect();
    let locals = [
        "ada",
        "a.b",
        ".a",
        "a.",
        "a..b",
        "a+b",
        "ada lovelace",
        "\"ada lovelace\"",
        "\"a@b\"",
        "\"a\\\"b\"",
        "ü",
        "a,b",
        "a<b",
        "\"a,b\"",
        "\"<b>\"",
        "'a'",
        "=?utf-8?q?a?=",
        "\"",
        "\"\"",
        "a\\b",
        "(c)a",
        "\"a\rb\"",
        &"a".repeat(64),
        &"a".repeat(65),
    ];
    let server = Server::start(FRIENDLY).await;
    let mailer = server.mailer();
    let mut taken = 0;
    for (local, domain) in locals.iter().flat_map(|l| domains.iter().map(move |d| (l, d))) {
        let to = format!("{local}@{domain}");
        if daybook_accounts::Email::new(&to).is_err() {
            continue;
        }
        taken += 1;
        let mail = Mail { to: to.clone(), ..mail() };
        let message = mailer.message(&mail).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert_eq!(message.envelope().to().first().map(ToString::to_string), Some(to));
    }
    assert!(taken > 50, "{taken}");
}
