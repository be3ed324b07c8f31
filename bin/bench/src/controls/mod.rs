//! What the product is measured against. Each is the plainest thing that does the part under measurement and no more.

pub(crate) mod bare_route;
mod confirms;
pub(crate) mod memory_orders;
mod order_rows;
pub(crate) mod pgbench;
pub(crate) mod raw_postgres;
pub(crate) mod raw_rabbitmq;
pub(crate) mod raw_sqlite;
pub(crate) mod redis_benchmark;

use std::env;
use std::io::Write;
use std::process::Command;

use poem::listener::TcpAcceptor;
use poem::{IntoEndpoint, Server};
use tokio::net::TcpListener;

use crate::error::{BenchError, Doing};

/// A command that runs this program as a child of itself.
///
/// # Errors
/// Where its own path is not to be found.
pub(crate) fn this_program() -> Result<Command, BenchError> {
    Ok(Command::new(env::current_exe().doing("looking for this program's own path")?))
}

/// Serves routes with poem's own server, announcing where, until the process is ended.
fn serve_with_poem<E>(routes: E) -> Result<(), BenchError>
where
    E: IntoEndpoint,
    E::Endpoint: 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .doing("starting the control")?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.doing("listening")?;
        println!("listening on http://{}", listener.local_addr().doing("listening")?);
        let acceptor = TcpAcceptor::from_tokio(listener).doing("listening")?;
        std::io::stdout().flush().doing("announcing the control")?;
        Server::new_with_acceptor(acceptor).run(routes).await.doing("serving the control")
    })
}
