//! As much HTTP/1.1 as the measuring needs: requests as ready bytes, replies framed by `Content-Length`.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{BenchError, Doing};

/// The longest reply that is read, head and body.
pub(crate) const LONGEST_REPLY: usize = 64 * 1024;

const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of a request; one without a body says so.
pub(crate) fn request(
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> Vec<u8> {
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n");
    if let Some(token) = token {
        let _ = write!(text, "Authorization: Bearer {token}\r\n");
    }
    if body.is_some() {
        text.push_str("Content-Type: application/json\r\n");
    }
    if method != "GET" {
        let _ = write!(text, "Content-Length: {}\r\n", body.map_or(0, str::len));
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    text.into_bytes()
}

/// Where a reply and its parts end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes of status line and headers, with the empty line.
    pub(crate) head: usize,
    /// Bytes of the body.
    pub(crate) body: usize,
}

impl Frame {
    /// Bytes of the whole reply.
    pub(crate) fn length(self) -> usize {
        self.head + self.body
    }
}

/// Why bytes are no reply that can be read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("no HTTP/1.1 status line")]
    StatusLine,
    #[error("a body without a length")]
    Length,
    #[error("a reply longer than {LONGEST_REPLY} bytes")]
    TooLong,
}

/// Finds the reply at the start of `bytes`; `None` until its head is complete.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<Frame>, Unreadable> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() < LONGEST_REPLY { Ok(None) } else { Err(Unreadable::TooLong) };
    };
    let head = bytes.get(..end).unwrap_or_default();
    let status = head
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| number(rest.get(..3)?))
        .ok_or(Unreadable::StatusLine)?;
    let status = u16::try_from(status).map_err(|_| Unreadable::StatusLine)?;
    let body = match (status, content_length(head)) {
        (204 | 304, _) => 0,
        (_, Some(length)) => length,
        (_, None) => return Err(Unreadable::Length),
    };
    let frame = Frame { status, head: end + 4, body };
    if frame.length() > LONGEST_REPLY { Err(Unreadable::TooLong) } else { Ok(Some(frame)) }
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        if name.eq_ignore_ascii_case(NAME) { number(value.trim_ascii()) } else { None }
    })
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|&number| number <= LONGEST_REPLY)
}

/// A whole reply, kept.
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// Head and body as they came.
    pub(crate) bytes: Vec<u8>,
    head: usize,
}

impl Reply {
    /// Takes apart bytes that hold one whole reply.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, BenchError> {
        match frame(&bytes) {
            Ok(Some(frame)) if frame.length() == bytes.len() => {
                Ok(Self { status: frame.status, bytes, head: frame.head })
            }
            Ok(_) => Err(BenchError::failed("not one whole HTTP reply")),
            Err(unreadable) => Err(BenchError::failed(unreadable.to_string())),
        }
    }

    /// The body.
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    /// The headers, in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let head = self
            .bytes
            .get(..self.head)
            .and_then(|head| std::str::from_utf8(head).ok())
            .unwrap_or_default();
        head.lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
    }

    /// A text member of the JSON object in the body.
    ///
    /// # Errors
    /// Where there is none of this name; the error shows the reply.
    pub(crate) fn text_member(&self, name: &str) -> Result<String, BenchError> {
        let value: Option<serde_json::Value> = serde_json::from_slice(self.body()).ok();
        let member = value.as_ref().and_then(|object| object.get(name)?.as_str());
        member
            .map(str::to_owned)
            .ok_or_else(|| BenchError::failed(format!("no `{name}` in {}", self.shown())))
    }

    fn shown(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(self.body()))
    }
}

/// Sends one request over a connection of its own and reads the reply.
///
/// # Errors
/// Where there is no readable reply, or one with another status than `expected`.
pub(crate) fn call(
    address: SocketAddr,
    request: &[u8],
    expected: u16,
) -> Result<Reply, BenchError> {
    let reply = exchange(address, request)?;
    if reply.status != expected {
        let line = String::from_utf8_lossy(
            request.split(|&byte| byte == b'\r').next().unwrap_or_default(),
        );
        return Err(BenchError::failed(format!(
            "{line}: expected {expected}, got {}",
            reply.shown()
        )));
    }
    Ok(reply)
}

fn exchange(address: SocketAddr, request: &[u8]) -> Result<Reply, BenchError> {
    let doing = || format!("talking to {address}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).doing(doing())?;
    stream.set_read_timeout(Some(PATIENCE)).doing(doing())?;
    stream.write_all(request).doing(doing())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).doing(doing())?;
        if read == 0 {
            return Err(BenchError::failed(format!(
                "{address} closed the connection before its reply was complete"
            )));
        }
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        match frame(&bytes) {
            Ok(Some(frame)) if frame.length() <= bytes.len() => return Reply::new(bytes),
            Ok(_) => {}
            Err(unreadable) => {
                return Err(BenchError::failed(format!("{address} answered with {unreadable}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_framed_by_its_length() {
        let bytes = b"HTTP/1.1 201 Created\r\nCONTENT-LENGTH: 2\r\nx: y\r\n\r\n{}";
        assert_eq!(frame(bytes), Ok(Some(Frame { status: 201, head: 49, body: 2 })));
        assert_eq!(bytes.len(), 51);
    }

    #[test]
    fn an_incomplete_head_asks_for_more() {
        assert_eq!(frame(b""), Ok(None));
        assert_eq!(frame(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"), Ok(None));
    }

    #[test]
    fn no_content_needs_no_length() {
        assert_eq!(frame(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().length(), 27);
    }

    #[test]
    fn chunked_and_foreign_bytes_are_refused() {
        assert_eq!(
            frame(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            Err(Unreadable::Length)
        );
        assert_eq!(frame(b"SSH-2.0-something\r\n\r\n"), Err(Unreadable::StatusLine));
        assert_eq!(
            frame(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"),
            Err(Unreadable::Length)
        );
        assert_eq!(frame(&vec![b'a'; LONGEST_REPLY]), Err(Unreadable::TooLong));
    }

    #[test]
    fn a_reply_gives_its_headers_and_members() {
        let bytes =
            b"HTTP/1.1 201 Created\r\nContent-Length: 13\r\nX: a: b\r\n\r\n{\"token\":\"t\"}"
                .to_vec();
        let reply = Reply::new(bytes).unwrap();
        assert_eq!(reply.headers().collect::<Vec<_>>(), [("Content-Length", "13"), ("X", "a: b")]);
        assert_eq!(reply.text_member("token").unwrap(), "t");
        assert!(reply.text_member("order_id").is_err());
    }

    #[test]
    fn a_post_without_a_body_says_so() {
        let bytes = request("POST", "/orders", Some("t"), None);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("Content-Length: 0\r\n") && !text.contains("Content-Type"));
        assert!(text.contains("Authorization: Bearer t\r\n") && text.ends_with("\r\n\r\n"));
    }
}
