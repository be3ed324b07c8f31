//! Serving: connections accepted, bounded in number and in patience, and drained at the end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daybook_application::StreamRoom;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Body, Request};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::Service;
use crate::drain::Drained;
use crate::framing::{Framed, Verdict};
use crate::stall::Stalling;

/// A request's head has to arrive in this time.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// On a connection of the reserve.
const RESERVE_PATIENCE: Duration = Duration::from_secs(2);
/// The most that is buffered of a request at a time. Heads are bounded before.
const BUFFER_BYTES: usize = 64 * 1024;
/// When accepting fails (too many open files), how long until it is tried again.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Bounds of the server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// How long requests in flight may take when the server has to stop.
    pub grace: Duration,
    /// How long a client may take nothing of what it is sent; then its connection is closed. Less while
    /// others wait for the room of `room`.
    pub reader_patience: Duration,
    /// The room for what is on its way to those who follow the log.
    pub room: StreamRoom,
}

/// A socket that is listening.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// Where the address is taken or not this machine's.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then lets requests in flight finish.
    pub async fn serve(self, service: Service, settings: ServerSettings, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            let Some((stream, remote)) = accepted else { continue };
            let Some(connection) = service.admit(remote.ip()) else { continue };
            let local = self.address;
            let service = service.clone();
            let verdict = Arc::new(Verdict::default());
            let stream = Stalling::new(
                stream,
                settings.reader_patience,
                settings.room.clone(),
                service.replies().clone(),
            );
            let stream = Framed::new(stream, Arc::clone(&verdict));
            let (of, is_reserve) = (Arc::clone(&connection), connection.is_reserve());
            let handler = service_fn(move |request: hyper::Request<Incoming>| {
                let service = service.clone();
                let refused = verdict.next();
                let connection = Arc::clone(&of);
                async move {
                    let (local, remote) =
                        (LocalAddr(Addr::SocketAddr(local)), RemoteAddr(Addr::SocketAddr(remote)));
                    let has_body = !request.body().is_end_stream();
                    let mut request: Request = (request, local, remote, Scheme::HTTP).into();
                    if has_body {
                        let body = Drained::new(request.take_body());
                        request.set_body(Body::from_bytes_stream(body));
                    }
                    request.extensions_mut().insert(connection);
                    if let Some(refusal) = refused {
                        request.extensions_mut().insert(refusal);
                    }
                    Ok::<hyper::Response<_>, Infallible>(service.answer(request).await.into())
                }
            });
            let patience = if is_reserve { RESERVE_PATIENCE } else { HEADER_PATIENCE };
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(patience)
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(TokioIo::new(stream), handler);
            let served = graceful.watch(served);
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop(connection);
            });
        }
        drop(self.socket);
        if tokio::time::timeout(settings.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still in flight when the time for them was over");
        }
    }

    async fn accept(&self) -> Option<(TcpStream, SocketAddr)> {
        match self.socket.accept().await {
            Ok((stream, remote)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection could not be set up");
                }
                Some((stream, remote))
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                None
            }
        }
    }
}
