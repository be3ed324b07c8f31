//! `daybook health`: asks a server whether it is ready.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::HealthOptions;
use crate::startup::{StartupError, say};

const PATIENCE: Duration = Duration::from_secs(3);
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Prints what `/health/ready` answers.
///
/// # Errors
/// Where the server is not ready, or not there.
pub(crate) async fn health(options: &HealthOptions) -> Result<(), StartupError> {
    let asked = tokio::time::timeout(PATIENCE, ask(options.address)).await;
    let answer =
        asked.map_err(|_| StartupError::Failed("the server does not answer".to_owned()))??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    say(body.trim())?;
    if head.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(StartupError::Failed("the server is not ready".to_owned()))
}

async fn ask(address: SocketAddr) -> Result<String, StartupError> {
    let mut server = TcpStream::connect(address).await?;
    let request =
        format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    server.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    server.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
