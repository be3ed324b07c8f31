//! The HTTP adapter: the API, its OpenAPI document, Swagger UI, and server-sent events.
//!
//! A handler under `api/` parses, calls one use case, and maps what it answers; nothing is
//! decided here. Every error is a problem document. Bodies are read by `body.rs`,
//! which keeps numbers as their text, and replies are written by `reply.rs`.
//!
//! To add a route, add it to the group it belongs to under `api/`, its objects to `document/`, and
//! the statuses it can answer to its set in `problem.rs`.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod api;
mod auth;
mod body;
mod connections;
mod document;
mod drain;
mod framing;
mod hs256;
mod limits;
mod metrics;
mod origin;
mod page;
mod problem;
mod reply;
mod request;
mod room;
mod scalars;
mod seldom;
mod server;
mod service;
mod sse;
mod stall;
mod token;

pub use api::{Engine, Engines};
pub use connections::ConnectionLimits;
pub use limits::RateLimits;
pub use origin::{InvalidProxies, Proxies};
pub use server::{Listener, ServerSettings};
pub use service::{Service, ServiceParts, openapi};
pub use token::{SigningKey, Tokens, WeakKey};
