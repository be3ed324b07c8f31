//! The control of P1: one bare poem route under poem's own server, answering with a stored reply.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use poem::{Endpoint, Request, Response, Route, get};

use super::{serve_with_poem, this_program};
use crate::error::{BenchError, Doing};
use crate::http::Reply;
use crate::process::Process;

/// Written by the server itself, for every reply.
const BY_THE_SERVER: [&str; 3] = ["content-length", "date", "connection"];

/// Starts the control as a child that answers with this reply.
///
/// # Errors
/// Where it does not come to listen.
pub(crate) fn start(reply: &Reply, folder: &Path) -> Result<Process, BenchError> {
    let file = folder.join("reply.http");
    fs::write(&file, &reply.bytes).doing(format!("writing {}", file.display()))?;
    let mut command = this_program()?;
    command.arg("control-poem").arg(&file);
    Process::start("control-poem", &mut command, folder)
}

/// Serves the reply in `file` until the process is ended.
///
/// # Errors
/// Where the file holds no reply, or the port is not to be had.
pub(crate) fn serve(file: &Path) -> Result<(), BenchError> {
    let bytes = fs::read(file).doing(format!("reading {}", file.display()))?;
    let stored = StoredReply::new(&Reply::new(bytes)?)?;
    serve_with_poem(Route::new().at("/accounts/:id", get(stored)))
}

struct StoredReply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl StoredReply {
    fn new(reply: &Reply) -> Result<Self, BenchError> {
        let unusable = || BenchError::failed("a reply that cannot be sent again");
        let mut headers = HeaderMap::new();
        for (name, value) in reply.headers() {
            if BY_THE_SERVER.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                continue;
            }
            let name = HeaderName::try_from(name).map_err(|_| unusable())?;
            headers.append(name, HeaderValue::try_from(value).map_err(|_| unusable())?);
        }
        let status = StatusCode::from_u16(reply.status).map_err(|_| unusable())?;
        Ok(Self { status, headers, body: Bytes::copy_from_slice(reply.body()) })
    }
}

impl Endpoint for StoredReply {
    type Output = Response;

    async fn call(&self, _request: Request) -> poem::Result<Response> {
        let mut response = Response::builder().status(self.status).body(self.body.clone());
        response.headers_mut().clone_from(&self.headers);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stored_reply_is_given_again_without_what_the_server_writes_itself() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nDate: today\r\netag: \"3\"\r\n\r\n{}";
        let stored = StoredReply::new(&Reply::new(bytes.to_vec()).unwrap()).unwrap();
        let response = stored.call(Request::default()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.header("etag"), Some("\"3\""));
        assert_eq!(response.into_body().into_string().await.unwrap(), "{}");
    }
}
