//! A proxy on the way to a server, which cuts or stalls what goes through it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const OPEN: u8 = 0;
const STALLED: u8 = 1;
const CUT: u8 = 2;
const ENDED: u8 = 3;
const MUTE: u8 = 4;
/// How often a stalled connection looks whether it may go on.
const TICK: Duration = Duration::from_millis(5);

/// A proxy from a free port of this machine to another. It ends with the value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    to: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    /// Both ends of every connection that was made.
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy to a port of this machine, open.
    ///
    /// # Errors
    /// Where no port can be listened on.
    pub fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { state: AtomicU8::new(OPEN), streams: Mutex::new(Vec::new()) });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener, port));
        Ok(Self { address, to: port, shared })
    }

    /// The URL of the server, by way of the proxy.
    pub fn url_of(&self, url: &str) -> String {
        url.replace(&format!("127.0.0.1:{}", self.to), &self.address.to_string())
    }

    /// Closes every connection, and makes no other.
    pub fn cut(&self) {
        self.shared.set(CUT);
        self.shared.close();
    }

    /// Keeps every connection and hands nothing on, in either direction.
    pub fn stall(&self) {
        self.shared.set(STALLED);
    }

    /// Hands on what clients send; a connection is cut when the server answers on it, and the answer is
    /// thrown away.
    pub fn cut_answers(&self) {
        self.shared.set(MUTE);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes connections again, and hands on what has waited.
    pub fn restore(&self) {
        self.shared.set(OPEN);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.set(ENDED);
        self.shared.close();
        // The listener waits for a connection: it sees that it is to end when it gets one.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::SeqCst) == state
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }

    fn close(&self) {
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, port: u16) {
        for client in listener.incoming() {
            if self.is(ENDED) {
                return;
            }
            // What fails here is a connection that is not made, as the client will see.
            if let (Ok(client), false) = (client, self.is(CUT)) {
                let _ = self.connect(client, port);
            }
        }
    }

    fn connect(self: &Arc<Self>, client: TcpStream, port: u16) -> io::Result<()> {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ways = [
            (client.try_clone()?, server.try_clone()?),
            (server.try_clone()?, client.try_clone()?),
        ];
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).extend([client, server]);
        for ((from, to), answers) in ways.into_iter().zip([false, true]) {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.hand_on(from, to, answers));
        }
        Ok(())
    }

    fn hand_on(&self, mut from: TcpStream, mut to: TcpStream, answers: bool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while self.is(STALLED) {
                thread::sleep(TICK);
            }
            if answers && self.is(MUTE) {
                break;
            }
            if to.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
