//! A client of one or more instances.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Request, Response};

use crate::error::{Failure, Outcome, ensure};

/// Whoever waits longer for an answer takes the connection for lost.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A client. Clones share nothing but the token.
pub struct Client {
    agent: Agent,
    /// The instances, which are tried in turn.
    addresses: Arc<[SocketAddr]>,
    turn: usize,
    token: Arc<str>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The position that a write was acknowledged with.
    pub position: Option<u64>,
    /// Whether it is the answer that an idempotency key had before.
    pub replayed: bool,
    /// Whether it says when to come back.
    pub says_when_to_come_back: bool,
    /// The next page's path.
    pub next: Option<String>,
    /// The body, as JSON, or as a text where it is none; `Null` where there is none.
    pub body: Value,
}

/// No answer came: what was asked for may have happened or not.
#[derive(Debug)]
pub struct Lost(pub String);

impl Reply {
    /// The kind of problem, without what all kinds begin with.
    pub fn problem(&self) -> &str {
        let kind = self.body.get("type").and_then(Value::as_str).unwrap_or_default();
        kind.strip_prefix("urn:daybook:problem:").unwrap_or(kind)
    }

    /// A member of the body that is text.
    ///
    /// # Errors
    /// Where there is none.
    pub fn text(&self, name: &str) -> Outcome<String> {
        let text = self.body.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| Failure::new(format!("no `{name}` in {self:?}")))
    }

    /// The same answer, where it has this status.
    ///
    /// # Errors
    /// Where it has another.
    pub fn expect(self, status: u16) -> Outcome<Self> {
        ensure(self.status == status, || format!("not answered with {status}: {self:?}"))?;
        Ok(self)
    }
}

impl Clone for Client {
    fn clone(&self) -> Self {
        Self {
            agent: agent(PATIENCE),
            addresses: Arc::clone(&self.addresses),
            turn: self.turn,
            token: Arc::clone(&self.token),
        }
    }
}

fn agent(patience: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(patience))
        .max_redirects(0)
        .proxy(None)
        .build()
        .into()
}

impl Client {
    /// A client of these instances, for someone who registers.
    ///
    /// # Errors
    /// Where that is refused.
    pub fn register(addresses: &[SocketAddr], email: &str) -> Outcome<Self> {
        let mut client = Self {
            agent: agent(PATIENCE * 5),
            addresses: addresses.into(),
            turn: 0,
            token: "".into(),
        };
        let body = json!({ "email": email, "password": "correct horse battery" });
        let reply = client.ask("POST", "/register", None, Some(&body));
        client.token = reply.map_err(lost)?.expect(201)?.text("token")?.into();
        Ok(client.clone())
    }

    /// The same client that begins with the instance of this number.
    #[must_use]
    pub fn starting_at(&self, turn: usize) -> Self {
        Self { turn, ..self.clone() }
    }

    /// The same client that waits as long as this for each answer.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { agent: agent(patience), ..self.clone() }
    }

    /// The same client of other instances.
    #[must_use]
    pub fn of(&self, addresses: &[SocketAddr]) -> Self {
        Self { addresses: addresses.into(), ..self.clone() }
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Who the token says this is.
    ///
    /// # Errors
    /// Where that is not answered.
    pub fn id(&mut self) -> Outcome<String> {
        self.get("/me")?.expect(200)?.text("id")
    }

    /// The instance whose turn it is.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.get(self.turn % self.addresses.len().max(1)).copied()
    }

    /// Leaves the instance for the next.
    pub fn turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    /// Sends one request to the instance whose turn it is.
    ///
    /// # Errors
    /// [`Lost`] where no answer came.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Reply, Lost> {
        let address = self.address().ok_or_else(|| Lost("no instance".to_owned()))?;
        let mut head = Request::builder().method(method).uri(format!("http://{address}{path}"));
        if !self.token.is_empty() {
            head = head.header("Authorization", format!("Bearer {}", self.token));
        }
        if let Some(key) = key {
            head = head.header("Idempotency-Key", key);
        }
        let sent = match body {
            Some(body) => head
                .header("Content-Type", "application/json")
                .body(body.to_string())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            None => head.body(()).map_err(ureq::Error::from).and_then(|it| self.agent.run(it)),
        };
        sent.and_then(read).map_err(|error| Lost(error.to_string()))
    }

    /// Reads something; tried on every instance until it is answered.
    ///
    /// # Errors
    /// Where no instance answers.
    pub fn get(&mut self, path: &str) -> Outcome<Reply> {
        let mut last = Failure::new("no instance");
        for _ in 0..4 * self.addresses.len().max(1) {
            match self.ask("GET", path, None, None) {
                Ok(reply) if reply.status < 500 => return Ok(reply),
                Ok(reply) => last = Failure::new(format!("{path}: {reply:?}")),
                Err(error) => last = lost(error).at(path),
            }
            self.turn();
        }
        Err(last)
    }

    /// The items of a list, over all its pages.
    ///
    /// # Errors
    /// Where a page is not answered.
    pub fn pages(&mut self, path: &str) -> Outcome<Vec<Value>> {
        let (mut items, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(page) = next {
            let mut reply = self.get(&page)?.expect(200)?;
            next = reply.next.take();
            match reply.body {
                Value::Array(page) => items.extend(page),
                _ => return Err(Failure::new(format!("{page} is not a list"))),
            }
        }
        Ok(items)
    }
}

/// A lost answer, where there should have been one.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub fn lost(lost: Lost) -> Failure {
    Failure::new(format!("no answer: {}", lost.0))
}

fn read(mut response: Response<ureq::Body>) -> Result<Reply, ureq::Error> {
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let position = header("Daybook-Position").and_then(|text| text.parse().ok());
    let replayed = header("Idempotency-Replayed").is_some_and(|text| text == "true");
    let says_when_to_come_back = header("Retry-After").is_some();
    let next = header("Link").and_then(|link| {
        let (url, rest) = link.strip_prefix('<')?.split_once('>')?;
        rest.contains("rel=\"next\"").then(|| url.to_owned())
    });
    let status = response.status().as_u16();
    let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
    let body = match serde_json::from_str(&text) {
        Ok(body) => body,
        Err(_) if text.is_empty() => Value::Null,
        Err(_) => Value::String(text),
    };
    Ok(Reply { status, position, replayed, says_when_to_come_back, next, body })
}
