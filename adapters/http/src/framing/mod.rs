//! Requests of a connection, told apart strictly.
//!
//! The server underneath is lenient where RFC 9112 lets it be: it takes bare line feeds, a length
//! beside chunks, other codings before `chunked`, and no host. Whoever stands before it may read the
//! same bytes as other requests. So the bytes are followed here, from head to body to head, before
//! the server has them: it is given whole heads that are as they have to be, and what follows them.
//! In the place of another it is given one request of our own, the last of the connection, which is
//! answered by the problem.

mod chunks;
mod head;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::problem::{Kind, Problem};
use chunks::Chunks;

/// Stands in the place of a request that is refused.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// How much is read at once of a head that came in pieces.
const PIECE: usize = 4 * 1024;
/// How much of what follows a refused request is read for nobody, and for how long, so that its sender
/// gets to see the answer.
const MOST_UNREAD: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a request is refused before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not HTTP/1.1 as RFC 9112 has it.
    Invalid(&'static str),
    /// Its head has too many bytes or lines.
    TooLarge,
    /// It is of another version of HTTP.
    Version,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(detail) => Self::with_detail(Kind::InvalidRequest, detail),
            Refusal::TooLarge => Self::new(Kind::HeadTooLarge),
            Refusal::Version => Self::new(Kind::VersionNotSupported),
        }
    }
}

/// What became of the requests of a connection.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How many were handed to the service.
    served: AtomicU64,
    /// The number of the one that is refused, and why.
    refused: OnceLock<(u64, Refusal)>,
}

impl Verdict {
    /// Is asked once for each request, in order: why this one is refused, if it is.
    pub(crate) fn next(&self) -> Option<Refusal> {
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        self.refused.get().filter(|(refused, _)| *refused == number).map(|(_, why)| *why)
    }
}

/// What comes next.
#[derive(Debug)]
enum Next {
    Head,
    Sized(u64),
    Chunked(Box<Chunks>),
    /// Nothing that anybody looks at.
    Nothing,
}

/// A connection of which requests are read.
pub(crate) struct Framed<T> {
    inner: T,
    follower: Follower,
    /// A head of which more has to come.
    begun: BytesMut,
    /// What can be handed on.
    ready: Bytes,
    /// Whether what follows can't be read.
    is_broken: bool,
    /// What is left of the time and the bytes for what nobody reads.
    unread: Option<(Pin<Box<Sleep>>, usize)>,
}

/// Follows the bytes from request to request.
struct Follower {
    next: Next,
    /// How much of the head that comes was looked at.
    looked_at: usize,
    heads: u64,
    verdict: Arc<Verdict>,
}

/// How far some bytes were followed.
#[derive(Debug)]
enum Followed {
    /// So many of them are whole; the rest begins a head.
    To(usize),
    /// So many are whole; what follows is refused.
    Refused(usize),
    /// So many are whole; what follows is no chunk of the body.
    Broken(usize),
}

impl Follower {
    fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut whole = 0;
        while let Some(rest) = bytes.get(whole..).filter(|rest| !rest.is_empty()) {
            match &mut self.next {
                Next::Head => match self.head(rest) {
                    Ok(Some(length)) => whole += length,
                    Ok(None) => break,
                    Err(why) => {
                        let _ = self.verdict.refused.set((self.heads, why));
                        self.next = Next::Nothing;
                        return Followed::Refused(whole);
                    }
                },
                Next::Sized(left) => {
                    let part = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    whole += part;
                    *left -= part as u64;
                    if *left == 0 {
                        self.next = Next::Head;
                    }
                }
                Next::Chunked(chunks) => {
                    let Ok((part, over)) = chunks.follow(rest) else {
                        self.next = Next::Nothing;
                        return Followed::Broken(whole);
                    };
                    whole += part;
                    if over {
                        self.next = Next::Head;
                    }
                }
                Next::Nothing => return Followed::To(bytes.len()),
            }
        }
        Followed::To(whole)
    }

    /// The length of the head that these bytes begin with.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let Some(length) = head::end(bytes, &mut self.looked_at)? else { return Ok(None) };
        self.next = match head::read(bytes.get(..length).unwrap_or_default())? {
            head::Body::Sized(0) => Next::Head,
            head::Body::Sized(length) => Next::Sized(length),
            head::Body::Chunked => Next::Chunked(Box::new(Chunks::new())),
        };
        self.looked_at = 0;
        self.heads += 1;
        Ok(Some(length))
    }
}

impl<T> Framed<T> {
    pub(crate) fn new(inner: T, verdict: Arc<Verdict>) -> Self {
        let follower = Follower { next: Next::Head, looked_at: 0, heads: 0, verdict };
        let (begun, ready) = (BytesMut::new(), Bytes::new());
        Self { inner, follower, begun, ready, is_broken: false, unread: None }
    }

    fn refuse(&mut self) {
        self.begun = BytesMut::new();
        self.unread = Some((Box::pin(tokio::time::sleep(PATIENCE)), MOST_UNREAD));
    }
}

impl<T: AsyncRead + Unpin> Framed<T> {
    /// Reads into the reader's buffer; what begins a head is taken out of it again.
    fn poll_direct(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let whole = match self.follower.follow(read) {
            Followed::To(whole) => {
                self.begun.extend_from_slice(read.get(whole..).unwrap_or_default());
                whole
            }
            Followed::Refused(whole) => {
                self.refuse();
                self.ready = Bytes::from_static(STAND_IN);
                whole
            }
            Followed::Broken(whole) => {
                self.is_broken = true;
                whole
            }
        };
        buffer.set_filled(before + whole);
        Poll::Ready(Ok(whole > 0))
    }

    /// Reads more of a head that has begun; answers whether the connection goes on.
    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece))?;
        if piece.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.begun.extend_from_slice(piece.filled());
        match self.follower.follow(&self.begun) {
            Followed::To(whole) => self.ready = self.begun.split_to(whole).freeze(),
            Followed::Refused(whole) => {
                let mut ready = self.begun.split_to(whole);
                ready.extend_from_slice(STAND_IN);
                self.refuse();
                self.ready = ready.freeze();
            }
            Followed::Broken(whole) => {
                self.is_broken = true;
                self.ready = self.begun.split_to(whole).freeze();
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Reads what follows a refused request, for nobody, for a while.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((patience, left)) = &mut self.unread else { return Poll::Ready(()) };
        let mut piece = [0; PIECE];
        loop {
            if patience.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut piece = ReadBuf::new(&mut piece);
            let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece));
            *left = left.saturating_sub(piece.filled().len());
            if read.is_err() || piece.filled().is_empty() || *left == 0 {
                return Poll::Ready(());
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Framed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.ready.is_empty() {
                let part = this.ready.len().min(buffer.remaining());
                buffer.put_slice(this.ready.get(..part).unwrap_or_default());
                this.ready.advance(part);
                return Poll::Ready(Ok(()));
            }
            if this.unread.is_some() {
                // The answer to the stand-in ends the connection.
                return Poll::Pending;
            }
            if this.is_broken {
                let error = "the chunks of a body can't be read";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            if this.begun.is_empty() {
                if ready!(this.poll_direct(cx, buffer))? {
                    return Poll::Ready(Ok(()));
                }
            } else if !ready!(this.poll_begun(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Closing with bytes unread would take the answer from whoever sent them.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        self.poll_unread(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests;
