//! A subscriber of Redis that is not of Daybook's making.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use daybook_services::Redis;

use crate::error::{Outcome, ensure};

/// Hears what is said on the channels of notifications, until the value is dropped or Redis is gone.
pub struct Listener {
    stream: TcpStream,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    /// Subscribes.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub fn new(redis: &Redis) -> Outcome<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port()))?;
        stream.write_all(b"PSUBSCRIBE notifications*\r\n")?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        // What is said after this is heard.
        let subscribed = lines.by_ref().take(6).collect::<Result<Vec<_>, _>>()?;
        ensure(subscribed.last().is_some_and(|line| line == ":1"), || format!("{subscribed:?}"))?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        // The reply's own words are among what it hears; nobody asks for those.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                hearing.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Self { stream, heard })
    }

    /// What was said since this was last asked.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Ends the thread; it may be closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
