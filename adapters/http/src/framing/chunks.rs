//! Where a chunked body ends.

use memchr::memchr;

/// The most bytes of a line of a chunked body: a size with its extensions, or a trailer.
const LONGEST_LINE: usize = 4 * 1024;
/// The most lines of trailers.
const MOST_TRAILERS: usize = 32;

/// The body is not made of chunks as RFC 9112 has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// How far a chunked body was followed.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
    /// The line that is being read.
    line: Vec<u8>,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size,
    Data(u64),
    /// The line end behind the data.
    AfterData,
    Trailers,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { place: Place::Size, line: Vec::new(), trailers: 0 }
    }

    /// Follows the body through these bytes: how many of them are its, and whether it is over then.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(usize, bool), Broken> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            if let Place::Data(left) = self.place {
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                taken += part;
                let left = left - part as u64;
                self.place = if left == 0 { Place::AfterData } else { Place::Data(left) };
                continue;
            }
            let (length, is_whole) = match memchr(b'\n', rest) {
                Some(end) => (end + 1, true),
                None => (rest.len(), false),
            };
            if self.line.len() + length > LONGEST_LINE {
                return Err(Broken);
            }
            self.line.extend_from_slice(rest.get(..length).unwrap_or_default());
            taken += length;
            if is_whole {
                let line = std::mem::take(&mut self.line);
                if self.end_line(line.strip_suffix(b"\r\n").ok_or(Broken)?)? {
                    return Ok((taken, true));
                }
            }
        }
        Ok((taken, false))
    }

    /// Whether the body ends with this line.
    fn end_line(&mut self, line: &[u8]) -> Result<bool, Broken> {
        match self.place {
            Place::Size => {
                let size = size(line).ok_or(Broken)?;
                self.place = if size == 0 { Place::Trailers } else { Place::Data(size) };
                Ok(false)
            }
            Place::AfterData if line.is_empty() => {
                self.place = Place::Size;
                Ok(false)
            }
            Place::Trailers if line.is_empty() => Ok(true),
            Place::Trailers if self.trailers < MOST_TRAILERS && !line.contains(&b'\r') => {
                self.trailers += 1;
                Ok(false)
            }
            _ => Err(Broken),
        }
    }
}

/// `chunk-size [ chunk-ext ]`, without a blank between the two.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line
        .iter()
        .position(|byte| *byte == b';')
        .map_or(line, |end| line.get(..end).unwrap_or_default());
    let is_size = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let is_text = line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_size && is_text)?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, however it arrives.
    fn follow(body: &[u8]) -> Result<(usize, bool), Broken> {
        let at_once = Chunks::new().follow(body);
        let (mut chunks, mut taken) = (Chunks::new(), 0);
        let by_bytes = loop {
            let Some(byte) = body.get(taken..=taken) else { break Ok((taken, false)) };
            match chunks.follow(byte) {
                Ok((one, over)) => {
                    taken += one;
                    if over {
                        break Ok((taken, true));
                    }
                }
                Err(broken) => break Err(broken),
            }
        };
        assert_eq!(at_once, by_bytes);
        at_once
    }

    #[test]
    fn a_body_ends_behind_its_trailers() {
        assert_eq!(follow(b"5\r\nhello\r\n0\r\n\r\nGET"), Ok((15, true)));
        assert_eq!(follow(b"a;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n"), Ok((32, true)));
        assert_eq!(follow(b"5\r\nhel"), Ok((6, false)));
        assert_eq!(follow(b"2\r\n\r\n\r\n0\r\n\r\n"), Ok((12, true)));
    }

    #[test]
    fn what_is_no_chunk_is_broken() {
        for body in [
            &b"\r\n"[..],
            b"5\nhello",
            b"5 \r\nhello",
            b"+5\r\nhello",
            b"0x5\r\nhello",
            b"5\r\nhelloworld\r\n",
            b"5\r\nhello\n",
            b"5;a\x00\r\nhello",
            b"g\r\n",
            b"00000000000000005\r\nhello",
            b"0\r\nX: y\n\r\n",
        ] {
            assert_eq!(follow(body), Err(Broken), "{}", body.escape_ascii());
        }
        assert_eq!(follow(&[b'0'; LONGEST_LINE + 1]), Err(Broken));
        let trailers = "X: y\r\n".repeat(MOST_TRAILERS + 1);
        assert_eq!(follow(format!("0\r\n{trailers}\r\n").as_bytes()), Err(Broken));
    }
}
