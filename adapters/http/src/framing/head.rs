//! What the head of a request has to be, by RFC 9112.

use std::net::Ipv6Addr;

use memchr::memchr;
use poem::http::{Method, Uri};

use super::Refusal;

/// The most bytes a head may have, from its first to its empty line.
pub(super) const MOST_BYTES: usize = 32 * 1024;
/// The most header lines that the server underneath reads.
const MOST_LINES: usize = 100;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Sized(u64),
    /// Chunks.
    Chunked,
}

/// Where the head ends that `bytes` begin with; `None` where more has to come. What was looked at
/// before is not looked at again.
pub(super) fn end(bytes: &[u8], looked_at: &mut usize) -> Result<Option<usize>, Refusal> {
    let line_feed = |rest: &[u8]| memchr(b'\n', rest);
    while let Some(found) = bytes.get(*looked_at..).and_then(line_feed) {
        let line_end = *looked_at + found;
        let before = bytes.get(..line_end).unwrap_or_default();
        if !before.ends_with(b"\r") {
            return Err(Refusal::Invalid("a line of the head does not end with CR and LF"));
        }
        *looked_at = line_end + 1;
        if before.ends_with(b"\r\n\r") {
            return bounded(*looked_at).map(Some);
        }
    }
    *looked_at = bytes.len();
    bounded(bytes.len()).map(|_| None)
}

fn bounded(length: usize) -> Result<usize, Refusal> {
    if length > MOST_BYTES { Err(Refusal::TooLarge) } else { Ok(length) }
}

/// Reads a whole head: what follows it, where everything about it is as it has to be.
pub(super) fn read(bytes: &[u8]) -> Result<Body, Refusal> {
    let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut head = httparse::Request::new(&mut lines);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Refusal::Invalid("the head does not end where it should")),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(httparse::Error::Version) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Invalid("the head is not one of HTTP/1.1")),
    }
    let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
    if Method::from_bytes(method.as_bytes()).is_err() || target.parse::<Uri>().is_err() {
        return Err(Refusal::Invalid("the request line can't be read"));
    }
    let is_newest = head.version == Some(1);
    check_host(one(head.headers, "host", "Host comes twice")?, is_newest)?;
    let length = one(head.headers, "content-length", "Content-Length comes twice")?;
    let coding = one(head.headers, "transfer-encoding", "Transfer-Encoding comes twice")?;
    match (coding, length) {
        (None, None) => Ok(Body::Sized(0)),
        (None, Some(length)) => digits(length)
            .map(Body::Sized)
            .ok_or(Refusal::Invalid("Content-Length is not a number of bytes")),
        (Some(_), Some(_)) => {
            Err(Refusal::Invalid("Content-Length and Transfer-Encoding exclude each other"))
        }
        (Some(coding), None) if is_newest && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Body::Chunked)
        }
        (Some(_), None) => Err(Refusal::Invalid("the only Transfer-Encoding taken is chunked")),
    }
}

/// The value of a header that may come once.
fn one<'a>(
    lines: &[httparse::Header<'a>],
    name: &str,
    twice: &'static str,
) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = lines.iter().filter(|line| line.name.eq_ignore_ascii_case(name));
    let first = values.next().map(|line| line.value.trim_ascii());
    if values.next().is_some() { Err(Refusal::Invalid(twice)) } else { Ok(first) }
}

fn digits(text: &[u8]) -> Option<u64> {
    let all = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| all)?.parse().ok()
}

fn check_host(host: Option<&[u8]>, is_newest: bool) -> Result<(), Refusal> {
    match host {
        None if is_newest => Err(Refusal::Invalid("Host is missing")),
        Some(host) if !is_host(host) => Err(Refusal::Invalid("Host is not a host and a port")),
        _ => Ok(()),
    }
}

/// `uri-host [ ":" port ]` of RFC 9110, where an http URI has no empty host.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().is_ok() && is_port;
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c);
    let mut parts = name.split('%');
    let first = parts.next().unwrap_or_default();
    let is_escape = |part: &str| {
        part.get(..2).is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            && part.get(2..).unwrap_or_default().chars().all(plain)
    };
    !name.is_empty() && first.chars().all(plain) && parts.all(is_escape) && is_port(port)
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(lines: &str) -> Result<Body, Refusal> {
        read(format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).as_bytes())
    }

    #[test]
    fn says_what_follows() {
        assert_eq!(whole("GET / HTTP/1.1\nHost: a"), Ok(Body::Sized(0)));
        assert_eq!(whole("GET http://b/ HTTP/1.1\nhost:\ta:80 "), Ok(Body::Sized(0)));
        assert_eq!(whole("GET / HTTP/1.0"), Ok(Body::Sized(0)));
        assert_eq!(whole("POST / HTTP/1.1\nHost: a\nContent-Length: 7"), Ok(Body::Sized(7)));
        assert_eq!(
            whole("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked"),
            Ok(Body::Chunked)
        );
    }

    #[test]
    fn refuses_what_two_readers_would_read_in_two_ways() {
        for lines in [
            "Content-Length: 7\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\nContent-Length: 7",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip\nTransfer-Encoding: chunked",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: ",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: chunked;q=1",
            "Content-Length: 7\nContent-Length: 7",
            "Content-Length: 7, 7",
            "Content-Length: +7",
            "Content-Length: 0x7",
            "Content-Length: -1",
            "Content-Length: ",
            "Content-Length: 18446744073709551616",
            "X: a\n folded",
            " X: a",
            "X",
            "Host: b",
        ] {
            let refused = whole(&format!("POST / HTTP/1.1\nHost: a\n{lines}"));
            assert!(matches!(refused, Err(Refusal::Invalid(_))), "{lines}: {refused:?}");
        }
        let old = whole("POST / HTTP/1.0\nTransfer-Encoding: chunked");
        assert!(matches!(old, Err(Refusal::Invalid(_))), "{old:?}");
        assert!(matches!(whole("GET / HTTP/1.1"), Err(Refusal::Invalid("Host is missing"))));
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_not() {
        for host in ["a", "a-b.example:8080", "127.0.0.1", "[::1]", "[::1]:80", "a:", "%41", "a_b"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", "a b", "a/b", "a@b", "a:b", "a:65536", "[::1", "::1", "[::1]x", "[a]", "a\"", "%4",
            "%zz", "a,b c", "ä", ":80", "http://a", "a?b", "a#b", "a\\b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_head_ends_with_its_empty_line_and_is_bounded() {
        let mut looked_at = 0;
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n", &mut looked_at), Ok(None));
        assert_eq!(looked_at, 25);
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", &mut looked_at), Ok(Some(27)));
        for bare in
            [&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], b"GET / HTTP/1.1\r\nHost: a\n\n", b"\n"]
        {
            assert!(matches!(end(bare, &mut 0), Err(Refusal::Invalid(_))));
        }
        let padded = |bytes: usize| {
            let head = "GET / HTTP/1.1\r\nX: ";
            format!("{head}{}\r\n\r\n", "a".repeat(bytes - head.len() - 4))
        };
        assert_eq!(end(padded(MOST_BYTES).as_bytes(), &mut 0), Ok(Some(MOST_BYTES)));
        assert_eq!(end(padded(MOST_BYTES + 1).as_bytes(), &mut 0), Err(Refusal::TooLarge));
        assert_eq!(end(&vec![b'a'; MOST_BYTES + 1], &mut 0), Err(Refusal::TooLarge));
    }

    #[test]
    fn other_versions_and_too_many_lines_are_told_apart() {
        assert_eq!(whole("GET / HTTP/2.0\nHost: a"), Err(Refusal::Version));
        assert_eq!(whole("PRI * HTTP/2.0"), Err(Refusal::Version));
        let lines = |count: usize| format!("GET / HTTP/1.1\nHost: a{}", "\nX: a".repeat(count - 1));
        assert!(whole(&lines(MOST_LINES)).is_ok());
        assert_eq!(whole(&lines(MOST_LINES + 1)), Err(Refusal::TooLarge));
    }
}
