//! Questions to a server, without a client.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long an answer may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// How long nothing must come from a paused server.
pub(crate) const WHILE: Duration = Duration::from_millis(300);

/// Sends something; what comes back first, within some time.
pub(crate) fn ask(port: u16, question: &[u8], within: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(within))?;
    stream.write_all(question)?;
    let mut answer = vec![0; 512];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}
