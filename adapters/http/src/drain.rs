//! Bodies that nobody reads to their end.
//!
//! A request that is refused before its body was read leaves the body on the connection. What is
//! left is read and thrown away, within bounds, so that the next request on it is not lost, and a
//! client that is still sending gets to see the refusal.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use poem::Body;

/// How much is read for nobody, and for how long; then the connection is closed.
const MOST_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(2);

/// A body whose rest is read when it is dropped.
pub(crate) struct Drained(Option<BoxStream<'static, io::Result<Bytes>>>);

impl Drained {
    pub(crate) fn new(body: Body) -> Self {
        Self(Some(body.into_bytes_stream().boxed()))
    }
}

impl Stream for Drained {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let next = body.poll_next_unpin(context);
        if !matches!(next, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            self.0 = None;
        }
        next
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take() else { return };
        let rest = async move {
            let mut read = 0;
            while let Some(Ok(bytes)) = body.next().await {
                read += bytes.len();
                if read > MOST_BYTES {
                    return;
                }
            }
        };
        tokio::spawn(tokio::time::timeout(PATIENCE, rest));
    }
}
