//! A client that knows nothing of Daybook: it writes commands to a socket and reads what comes.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A plain connection to a Redis server.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a server by its URL.
    pub(crate) async fn connect(url: &str) -> Self {
        let address = url.strip_prefix("redis://").unwrap();
        let stream = TcpStream::connect(address.trim_end_matches('/')).await.unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a command and reads its answer.
    pub(crate) async fn ask(&mut self, command: &[&str]) -> String {
        let command: Vec<&[u8]> = command.iter().map(|arg| arg.as_bytes()).collect();
        self.ask_bytes(&command).await
    }

    /// Sends a command of any bytes and reads its answer.
    pub(crate) async fn ask_bytes(&mut self, command: &[&[u8]]) -> String {
        let mut text = format!("*{}\r\n", command.len()).into_bytes();
        for arg in command {
            text.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            text.extend_from_slice(arg);
            text.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&text).await.unwrap();
        self.read().await
    }

    /// Reads an answer, or what the server says by itself: the parts of an array joined by a space,
    /// `nil` for what is not there.
    pub(crate) async fn read(&mut self) -> String {
        let read = tokio::time::timeout(Duration::from_secs(10), self.read_one());
        read.await.unwrap()
    }

    async fn read_one(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match (kind, rest) {
            ("$" | "*", "-1") => "nil".to_owned(),
            ("$", length) => {
                let mut text = vec![0; length.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut text).await.unwrap();
                String::from_utf8_lossy(text.strip_suffix(b"\r\n").unwrap()).into_owned()
            }
            ("*", parts) => {
                let mut all = Vec::new();
                for _ in 0..parts.parse::<usize>().unwrap() {
                    all.push(Box::pin(self.read_one()).await);
                }
                all.join(" ")
            }
            (_, rest) => rest.to_owned(),
        }
    }
}
