//! A line to the broker that can be cut.

use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A line to the broker that can be cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    lines: Arc<Mutex<JoinSet<()>>>,
}

impl Proxy {
    pub(crate) async fn to(broker: u16) -> Self {
        Self::at(0, broker).await
    }

    /// On this port.
    pub(crate) async fn at(port: u16, broker: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), lines: Arc::default() };
        let lines = Arc::clone(&proxy.lines);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let Ok(mut far) = TcpStream::connect(("127.0.0.1", broker)).await else { continue };
                lines.lock().unwrap().spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        proxy
    }

    /// Cuts every connection there is. New ones can be made.
    pub(crate) fn cut(&self) {
        self.lines.lock().unwrap().abort_all();
    }
}
