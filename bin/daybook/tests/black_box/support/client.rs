//! A client of the HTTP interface.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use ureq::http::{HeaderValue, Request, request};
use ureq::{Agent, SendBody};

use super::{PATIENCE, Reply, Sse};

/// Talks to the instances of a server in turn, as one holder or as no one.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    bases: Arc<[String]>,
    turn: Arc<AtomicUsize>,
    token: Option<String>,
}

/// The body of a request.
pub(crate) enum Body {
    /// None, and not a word about its length.
    Absent,
    /// JSON of this text, valid or not.
    Json(String),
    /// The same, in chunks: its length is not announced.
    Chunked(String),
    /// Anything of this type.
    Of(&'static str, Vec<u8>),
}

/// A request that is being put together.
pub(crate) struct Ask<'a> {
    client: &'a Client,
    title: String,
    head: request::Builder,
    body: Body,
}

impl Client {
    /// A client without a token.
    pub(crate) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let bases = addresses.into_iter().map(|address| format!("http://{address}")).collect();
        Self { agent: agent(), bases, turn: Arc::default(), token: None }
    }

    /// The same client with other connections.
    pub(crate) fn apart(&self) -> Self {
        Self { agent: agent(), ..self.clone() }
    }

    /// The same client with this token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client, to a server that has moved.
    pub(crate) fn at(&self, other: &Self) -> Self {
        Self { bases: Arc::clone(&other.bases), ..self.apart() }
    }

    /// Registers someone and gives their client.
    #[track_caller]
    pub(crate) fn register(&self, email: &str) -> Self {
        let body = json!({ "email": email, "password": PASSWORD, "full_name": "Ada Lovelace" });
        let token = self.post("/register", &body).expect(201).text("token");
        self.with_token(&token)
    }

    /// The client's token.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// The address, as a URL, of the instance whose turn it is.
    pub(crate) fn base(&self) -> &str {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.bases[turn % self.bases.len()]
    }

    /// A request to be put together.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let mut head = Request::builder().method(method).uri(self.url(path));
        if let Some(token) = &self.token {
            head = head.header("Authorization", format!("Bearer {token}"));
        }
        Ask { client: self, title: format!("{method} {path}"), head, body: Body::Absent }
    }

    /// GET.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).send()
    }

    /// POST with a JSON body.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path).json(body).send()
    }

    /// POST without a body.
    #[track_caller]
    pub(crate) fn post_nothing(&self, path: &str) -> Reply {
        self.ask("POST", path).send()
    }

    /// PATCH.
    #[track_caller]
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Reply {
        self.ask("PATCH", path).json(body).send()
    }

    /// DELETE.
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path).send()
    }

    /// The items of a list, over all its pages, and how many pages there were.
    #[track_caller]
    pub(crate) fn pages(&self, path: &str) -> (Vec<Value>, usize) {
        let (mut items, mut next, mut count) = (Vec::new(), Some(path.to_owned()), 0);
        while let Some(page) = next {
            let reply = self.get(&page).expect(200);
            next = reply.next_page();
            items.extend(reply.items());
            count += 1;
            assert!(count < 10_000, "{path} has no end");
        }
        (items, count)
    }

    /// Opens an account and gives its id.
    #[track_caller]
    pub(crate) fn open_account(
        &self,
        name: &str,
        currency: &str,
        initial_balance: &Value,
    ) -> String {
        let body =
            json!({ "name": name, "currency_code": currency, "initial_balance": initial_balance });
        self.post("/accounts", &body).written(201).text("account_id")
    }

    /// What is on an account.
    #[track_caller]
    pub(crate) fn balance(&self, account: &str) -> String {
        self.get(&format!("/accounts/{account}")).expect(200).text("balance")
    }

    /// The holder's events, all of them.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        self.pages("/events?limit=1000").0
    }

    /// Listens to a stream of events.
    #[track_caller]
    pub(crate) fn listen(&self, path: &str, last_event_id: Option<&str>) -> Sse {
        let mut ask = self.ask("GET", path).header("Accept", "text/event-stream");
        if let Some(id) = last_event_id {
            ask = ask.header("Last-Event-ID", id);
        }
        // Listening has no end: only the reply's head has to come in time.
        let request = ask.head.body(()).unwrap();
        let agent: Agent =
            config().timeout_global(None).timeout_recv_response(Some(PATIENCE)).build().into();
        Sse::new(&ask.title, agent.run(request).unwrap())
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http://") { path.to_owned() } else { format!("{}{path}", self.base()) }
    }
}

/// What every holder of the tests registers with.
pub(crate) const PASSWORD: &str = "correct horse battery";

impl Ask<'_> {
    /// With this header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head = self.head.header(name, value);
        self
    }

    /// With a header of these bytes.
    pub(crate) fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        self.head = self.head.header(name, HeaderValue::from_bytes(value).unwrap());
        self
    }

    /// With this idempotency key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// With this JSON as its body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(Body::Json(body.to_string()))
    }

    /// With this body.
    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sends it.
    #[track_caller]
    pub(crate) fn send(self) -> Reply {
        let title = self.title.clone();
        self.try_send().unwrap_or_else(|error| panic!("{title}: no reply: {error}"))
    }

    /// Sends it to a server that may not live to answer.
    pub(crate) fn try_send(self) -> Result<Reply, ureq::Error> {
        let agent = &self.client.agent;
        let json = |head: request::Builder| head.header("Content-Type", "application/json");
        let response = match self.body {
            Body::Absent => agent.run(self.head.body(())?),
            Body::Json(text) => agent.run(json(self.head).body(text)?),
            Body::Of(kind, bytes) => agent.run(self.head.header("Content-Type", kind).body(bytes)?),
            Body::Chunked(text) => {
                let reader = SendBody::from_owned_reader(Cursor::new(text));
                agent.run(json(self.head).body(reader)?)
            }
        };
        Reply::read(self.title, response?)
    }
}

fn agent() -> Agent {
    config().build().into()
}

fn config() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
}
