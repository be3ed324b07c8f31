//! The control of P14: an order service that keeps everything in memory and loses it on exit.
//!
//! It is a Go program, `controls/orders.go`, where a Go compiler is at hand, and the same in plain poem where not.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use poem::http::StatusCode;
use poem::{Endpoint, Request, Response, Route, post};
use uuid::Uuid;

use super::{serve_with_poem, this_program};
use crate::error::{BenchError, Doing};
use crate::process::Process;

const GO_SOURCE: &str = include_str!("../../controls/orders.go");

/// An in-memory order service, ready to start.
pub(crate) enum MemoryOrders {
    /// The compiled Go program.
    Go(PathBuf),
    /// The same in plain poem.
    Poem,
}

impl MemoryOrders {
    /// Compiles the Go program into `folder`; where there is no Go compiler, the one in poem is taken.
    ///
    /// # Errors
    /// Where there is a Go compiler and it fails.
    pub(crate) fn build(folder: &Path) -> Result<Self, BenchError> {
        let source = folder.join("orders.go");
        fs::write(&source, GO_SOURCE).doing(format!("writing {}", source.display()))?;
        let binary = folder.join("orders");
        let built = Command::new("go")
            .args(["build", "-o"])
            .args([&binary, &source])
            .current_dir(folder)
            .env("GOCACHE", folder.join("go-cache"))
            .env("GOPATH", folder.join("go-path"))
            .envs([
                ("GOFLAGS", ""),
                ("GOPROXY", "off"),
                ("GOTOOLCHAIN", "local"),
                ("CGO_ENABLED", "0"),
            ])
            .stdin(Stdio::null())
            .output();
        match built {
            Ok(output) if output.status.success() => Ok(Self::Go(binary)),
            Ok(output) => {
                let words = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(BenchError::failed(format!("`go build` failed: {words}")))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::Poem),
            Err(error) => Err(error).doing("running `go build`"),
        }
    }

    /// Starts it as a child.
    ///
    /// # Errors
    /// Where it does not come to listen.
    pub(crate) fn start(&self, folder: &Path) -> Result<Process, BenchError> {
        let mut command = match self {
            Self::Go(binary) => Command::new(binary),
            Self::Poem => {
                let mut command = this_program()?;
                command.arg("control-orders");
                command
            }
        };
        Process::start("control-orders", &mut command, folder)
    }

    /// Which one it is.
    pub(crate) fn description(&self) -> &'static str {
        match self {
            Self::Go(_) => "an in-memory, non-durable service in Go (net/http)",
            Self::Poem => {
                "an in-memory, non-durable service in plain poem (no Go compiler was found)"
            }
        }
    }
}

/// Serves the one in poem until the process is ended.
///
/// # Errors
/// Where the port is not to be had.
pub(crate) fn serve() -> Result<(), BenchError> {
    serve_with_poem(Route::new().at("/orders", post(CreateOrder::default())))
}

#[expect(dead_code, reason = "written as the Go program writes it; only creating is measured")]
struct Event {
    kind: &'static str,
    order_id: Uuid,
    timestamp: SystemTime,
    data: &'static str,
}

#[derive(Default)]
struct Book {
    events: Vec<Event>,
    orders: HashMap<Uuid, &'static str>,
}

#[derive(Default)]
struct CreateOrder {
    book: Mutex<Book>,
}

impl Endpoint for CreateOrder {
    type Output = Response;

    async fn call(&self, _request: Request) -> poem::Result<Response> {
        let order_id = Uuid::now_v7();
        let event =
            Event { kind: "OrderCreated", order_id, timestamp: SystemTime::now(), data: "{}" };
        {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            book.events.push(event);
            book.orders.insert(order_id, "PENDING");
        }
        let body = format!(r#"{{"order_id":"{order_id}"}}"#);
        Ok(Response::builder()
            .status(StatusCode::CREATED)
            .content_type("application/json")
            .body(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_order_is_kept_with_its_event() {
        let service = CreateOrder::default();
        let response = service.call(Request::default()).await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        let body = response.into_body().into_string().await.unwrap();
        let book = service.book.into_inner().unwrap();
        let order_id = book.orders.keys().next().unwrap();
        assert_eq!(body, format!(r#"{{"order_id":"{order_id}"}}"#));
        assert_eq!((book.events.len(), book.orders.len()), (1, 1));
    }
}
