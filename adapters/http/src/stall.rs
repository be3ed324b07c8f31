//! A connection that is given up when its reader takes nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use daybook_application::StreamRoom;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::room::ReplyRoom;

/// How often a connection that waits for its reader looks how long it has waited.
const TICK: Duration = Duration::from_millis(500);
/// How long a reader may take over what it was sent, while others wait for the room that takes.
const PATIENCE_WHILE_SHORT: Duration = Duration::from_secs(2);

/// A connection whose writes fail once its reader has taken nothing for too long: what was written for
/// it would stay in memory for as long as it likes.
pub(crate) struct Stalling<T> {
    inner: T,
    patience: Duration,
    room: StreamRoom,
    replies: ReplyRoom,
    waiting: Option<Waiting>,
}

/// Something was written that the reader has not taken yet.
struct Waiting {
    tick: Pin<Box<Sleep>>,
    /// When the reader last took something.
    taken: Instant,
    /// Since when there is something that it has not taken.
    since: Instant,
}

impl<T> Stalling<T> {
    /// Given up after `patience`, and sooner while others wait for the room of streams or of replies.
    pub(crate) fn new(inner: T, patience: Duration, room: StreamRoom, replies: ReplyRoom) -> Self {
        Self { inner, patience, room, replies, waiting: None }
    }

    /// Whether the reader has had its time; otherwise the task is woken to ask again.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let now = Instant::now();
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            tick: Box::pin(sleep_until(now + TICK)),
            taken: now,
            since: now,
        });
        loop {
            ready!(waiting.tick.as_mut().poll(cx));
            let now = Instant::now();
            let overdue = now - waiting.taken >= self.patience;
            let is_short = self.room.is_short() || self.replies.is_short();
            if overdue || (is_short && now - waiting.since >= PATIENCE_WHILE_SHORT) {
                return Poll::Ready(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the reader takes nothing",
                ));
            }
            waiting.tick.as_mut().reset(now + TICK);
        }
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.poll_patience(cx).map(Err),
            Poll::Ready(Ok(_)) => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.taken = Instant::now();
                }
                written
            }
            Poll::Ready(Err(_)) => written,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stalling<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stalling<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Is asked for when all that there was is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting = None;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn connection(
        room: &StreamRoom,
    ) -> (Stalling<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (here, there) = duplex(1_000);
        (Stalling::new(here, PATIENCE, room.clone(), ReplyRoom::new(0)), there)
    }

    async fn fails_after(writes: impl Future<Output = io::Result<()>>) -> Duration {
        let began = Instant::now();
        assert_eq!(writes.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (mut here, _there) = connection(&StreamRoom::new(0));
        let waited = fails_after(here.write_all(&[0; 5_000])).await;
        assert!((PATIENCE..PATIENCE + 2 * TICK).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_given_up_sooner_while_others_wait_for_the_room_of_replies() {
        let replies = ReplyRoom::new(0);
        let (here, _there) = duplex(1_000);
        let mut here = Stalling::new(here, PATIENCE, StreamRoom::new(0), replies.clone());
        let all = replies.taken().1;
        let _held = replies.reply(all).await.unwrap();
        tokio::spawn(async move {
            loop {
                let _ = replies.reply(all).await;
            }
        });
        tokio::task::yield_now().await;
        let waited = fails_after(here.write_all(&[0; 5_000])).await;
        assert!(waited < PATIENCE_WHILE_SHORT + 2 * TICK, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_served_for_as_long_as_it_takes_something() {
        let (mut here, mut there) = connection(&StreamRoom::new(0));
        tokio::spawn(async move {
            let mut some = [0; 500];
            loop {
                tokio::time::sleep(PATIENCE / 2).await;
                there.read_exact(&mut some).await.unwrap();
            }
        });
        for _ in 0..3 {
            here.write_all(&[0; 5_000]).await.unwrap();
            here.flush().await.unwrap();
        }
        // What is quiet is not slow.
        tokio::time::sleep(2 * PATIENCE).await;
        here.write_all(&[0; 500]).await.unwrap();
    }
}
