//! Why a broker let nobody in.
//!
//! The client library does not announce that it understands a refused login, so the broker just
//! closes the connection, as it also would when it is going down. The same greeting is therefore
//! made once more by hand, with that announced, and the broker then says what it minds.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::address::Address;
use crate::fault::Fault;

const START: (u16, u16) = (10, 10);
const TUNE: (u16, u16) = (10, 30);
const CLOSE: (u16, u16) = (10, 50);
/// No greeting is longer.
const LONGEST_FRAME: u32 = 131_072;

/// Why this broker refuses to let us in; nothing where it lets us in or doesn't say.
pub(crate) async fn refusal(address: &Address, tls: Option<&TlsConnector>) -> Option<Fault> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.ok()?;
    match tls {
        None => greet(stream, address).await,
        Some(tls) => {
            let name = ServerName::try_from(address.host.clone()).ok()?;
            greet(tls.connect(name, stream).await.ok()?, address).await
        }
    }
}

async fn greet<S>(mut stream: S, address: &Address) -> Option<Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(b"AMQP\0\0\x09\x01").await.ok()?;
    let (START, _) = read(&mut stream).await? else { return None };
    stream.write_all(&frame(&start_ok(address)?)?).await.ok()?;
    let tuning = match read(&mut stream).await? {
        (TUNE, tuning) => tuning,
        (CLOSE, _) => return Some(Fault::Login),
        _ => return None,
    };
    let mut answer = vec![0, 10, 0, 31];
    answer.extend_from_slice(tuning.get(..8)?);
    stream.write_all(&frame(&answer)?).await.ok()?;
    let mut open = vec![0, 10, 0, 40];
    short(&mut open, address.vhost.as_bytes())?;
    open.extend_from_slice(&[0, 0]);
    stream.write_all(&frame(&open)?).await.ok()?;
    match read(&mut stream).await? {
        // 530, not allowed: no such virtual host, or no right to it; 403, no right to it.
        (CLOSE, why) if matches!(why.get(..2)?, [2, 18] | [1, 147]) => Some(Fault::VirtualHost),
        _ => None,
    }
}

fn start_ok(address: &Address) -> Option<Vec<u8>> {
    let mut capabilities = Vec::new();
    short(&mut capabilities, b"authentication_failure_close")?;
    capabilities.extend_from_slice(b"t\x01");
    let mut properties = Vec::new();
    short(&mut properties, b"capabilities")?;
    properties.push(b'F');
    long(&mut properties, &capabilities)?;
    let mut method = vec![0, 10, 0, 11];
    long(&mut method, &properties)?;
    short(&mut method, b"PLAIN")?;
    long(&mut method, format!("\0{}\0{}", address.user, address.password).as_bytes())?;
    short(&mut method, b"en_US")?;
    Some(method)
}

fn short(to: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    to.push(u8::try_from(text.len()).ok()?);
    to.extend_from_slice(text);
    Some(())
}

fn long(to: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    to.extend_from_slice(&u32::try_from(text.len()).ok()?.to_be_bytes());
    to.extend_from_slice(text);
    Some(())
}

/// A method on channel 0.
fn frame(method: &[u8]) -> Option<Vec<u8>> {
    let mut frame = vec![1, 0, 0];
    long(&mut frame, method)?;
    frame.push(0xCE);
    Some(frame)
}

/// The next method, and its arguments.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<((u16, u16), Vec<u8>)> {
    let (1, 0) = (stream.read_u8().await.ok()?, stream.read_u16().await.ok()?) else { return None };
    let length = stream.read_u32().await.ok()?;
    if !(4..=LONGEST_FRAME).contains(&length) {
        return None;
    }
    let method = (stream.read_u16().await.ok()?, stream.read_u16().await.ok()?);
    let mut arguments = vec![0; usize::try_from(length - 4).ok()?];
    stream.read_exact(&mut arguments).await.ok()?;
    (stream.read_u8().await.ok()? == 0xCE).then_some((method, arguments))
}
