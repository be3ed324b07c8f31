//! A mail server that can stop in the middle, to see what became of a mail when its sender dies
//! there.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::eventually;

/// Where a conversation stops for good, if it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Connected, and not greeted.
    Greeting,
    /// The mail has begun; its text has not.
    Recipient,
    /// The mail is there; its sender does not know.
    Taken,
}

#[derive(Default)]
struct Seen {
    hold: Option<Hold>,
    held: usize,
    /// The Message-ID of each mail that was taken.
    mails: Vec<String>,
}

/// The server. It lasts as long as the test program.
pub(crate) struct MailServer {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl MailServer {
    /// Starts it; conversations stop there.
    pub(crate) fn start(hold: Option<Hold>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen { hold, ..Seen::default() }));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&shared);
                thread::spawn(move || converse(&stream, &seen));
            }
        });
        Self { address, seen }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Waits until so many conversations have stopped.
    #[track_caller]
    pub(crate) fn held(&self, count: usize) {
        eventually("mails are held up", || (self.seen.lock().unwrap().held >= count).then_some(()));
    }

    /// Conversations stop no more.
    pub(crate) fn go_on(&self) {
        self.seen.lock().unwrap().hold = None;
    }

    /// The Message-ID of each mail that was taken, sorted.
    pub(crate) fn mails(&self) -> Vec<String> {
        let mut mails = self.seen.lock().unwrap().mails.clone();
        mails.sort_unstable();
        mails
    }
}

/// Talks until the client goes away; stops for good where it is told to.
fn converse(stream: &TcpStream, seen: &Mutex<Seen>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let answer = |text: &str| {
        let mut out = stream;
        out.write_all(format!("{text}\r\n").as_bytes()).ok()
    };
    let holds = |at: Hold| {
        let mut seen = seen.lock().unwrap();
        let holds = seen.hold == Some(at);
        seen.held += usize::from(holds);
        holds
    };
    if holds(Hold::Greeting) {
        lines.next();
        return None;
    }
    answer("220 test")?;
    while let Some(line) = lines.next() {
        let command = line.to_ascii_uppercase();
        if command.starts_with("RCPT") && holds(Hold::Recipient) {
            lines.next();
            return None;
        }
        if command.starts_with("QUIT") {
            return answer("221 bye");
        }
        if !command.starts_with("DATA") {
            answer("250 ok")?;
            continue;
        }
        answer("354 go on")?;
        let mut id = String::new();
        for line in lines.by_ref().take_while(|line| line != ".") {
            if let Some(named) = line.strip_prefix("Message-ID: ") {
                named.clone_into(&mut id);
            }
        }
        seen.lock().unwrap().mails.push(id);
        if holds(Hold::Taken) {
            lines.next();
            return None;
        }
        answer("250 taken")?;
    }
    None
}
