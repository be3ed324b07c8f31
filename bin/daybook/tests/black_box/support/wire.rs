//! A bare connection, for what a well-behaved client would not do.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// A connection on which every byte is written by hand.
pub(crate) struct Wire(TcpStream);

impl Wire {
    /// Connects.
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Connects from another address of this machine.
    pub(crate) fn between(from: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Writes.
    pub(crate) fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Writes as much as is taken at once, to a server that may have closed the connection.
    pub(crate) fn try_write(&mut self, text: &str) {
        self.0.set_nonblocking(true).unwrap();
        let _ = self.0.write(text.as_bytes());
        self.0.set_nonblocking(false).unwrap();
    }

    /// Takes a byte, where one is there.
    pub(crate) fn take_a_byte(&mut self) {
        self.0.set_nonblocking(true).unwrap();
        let _ = self.0.read(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
    }

    /// Reads the head of a reply, up to its empty line.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = self.0.read(&mut byte).unwrap();
            assert_eq!(read, 1, "it ended after {:?}", String::from_utf8_lossy(&head));
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads a whole reply and gives its head, in lower case.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> String {
        let head = self.head().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let mut body = vec![0; length.unwrap_or("0").trim().parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        head
    }

    /// Reads the head of a reply; none where the connection ends before.
    pub(crate) fn try_head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => head.extend(byte),
                _ => return None,
            }
        }
        String::from_utf8(head).ok()
    }

    /// Reads all that comes until the other side closes.
    pub(crate) fn rest(&mut self) -> String {
        let mut all = Vec::new();
        self.0.read_to_end(&mut all).unwrap();
        String::from_utf8(all).unwrap()
    }
}
