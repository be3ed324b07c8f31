//! The whole service: the API, its document, Swagger UI, and what every reply has in common.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use daybook_application::{Commands, Feed, PresentIdentity, Queries, TroubleLog};
use daybook_events::{Clock, HolderId, IdSource};
use poem::endpoint::{BoxEndpoint, make_sync};
use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::middleware::CatchPanic;
use poem::web::Redirect;
use poem::{Endpoint, EndpointExt, IntoEndpoint, IntoResponse, Request, Response};
use poem_openapi::error::ParseParamError;
use poem_openapi::{OpenApi, OpenApiService};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::api::{
    AccountsApi, Context, Engines, EventsApi, HealthApi, HoldersApi, NotificationsApi, OrdersApi,
    TasksApi,
};
use crate::auth::Authenticator;
use crate::connections::{Connection, ConnectionLimits, Connections};
use crate::framing::Refusal;
use crate::limits::RateLimits;
use crate::metrics::{Answers, Metrics};
use crate::origin::Proxies;
use crate::problem::{Kind, Problem};
use crate::reply::HasRoom;
use crate::request::{RequestId, Routes};
use crate::room::ReplyRoom;
use crate::seldom::Seldom;
use crate::sse::EVENT_STREAM;
use crate::token::Tokens;

/// What the service is put together from.
#[derive(Debug)]
pub struct ServiceParts {
    /// The use cases that change something.
    pub commands: Commands,
    /// The use cases that only look.
    pub queries: Queries,
    /// The log as a stream.
    pub feed: Feed,
    /// Makes and reads tokens.
    pub tokens: Tokens,
    /// Who may see everything.
    pub operators: HashSet<HolderId>,
    /// How many requests there may be.
    pub limits: Arc<RateLimits>,
    /// Whose word is taken for where a request comes from.
    pub proxies: Proxies,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// How many bytes of replies there may be that nobody has taken yet.
    pub reply_buffer: usize,
    /// Which engine serves the database, the cache, the bus and the task queue.
    pub engines: Engines,
    /// Which installation this is, and which others it met.
    pub identity: PresentIdentity,
    /// The names of the relays, whose progress is shown.
    pub relays: Arc<[&'static str]>,
    /// Cancelled when streams are to end.
    pub stop: CancellationToken,
    /// Cancelled when the service is about to stop: it is not ready any more, and every answer is the
    /// last of its connection, so that clients go elsewhere.
    pub draining: CancellationToken,
}

/// The service, ready to be served by a [`Listener`](crate::Listener).
#[derive(Clone)]
pub struct Service {
    endpoint: Arc<BoxEndpoint<'static, Response>>,
    replies: ReplyRoom,
    connections: Connections,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service(…)")
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Swagger UI stands whole in the page: its own script and style, and nothing from outside.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                           img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

impl Service {
    /// Puts the service together.
    pub fn new(parts: ServiceParts, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        let document = openapi();
        let routes = Routes::of_document(&serde_json::from_str(&document).unwrap_or_default());
        let authenticator = Arc::new(Authenticator {
            tokens: parts.tokens.clone(),
            clock: Arc::clone(&clock),
            operators: parts.operators,
            limits: parts.limits,
            sessions: parts.commands.sessions().clone(),
            proxies: parts.proxies.clone(),
        });
        let refused_streams = Seldom::default();
        let replies = ReplyRoom::new(parts.reply_buffer);
        let connections = Connections::new(parts.connections, parts.proxies);
        let answers = Answers::default();
        let metrics = Metrics {
            answers: answers.clone(),
            commands: parts.commands.clone(),
            queries: parts.queries.clone(),
            engines: parts.engines.clone(),
            clock: Arc::clone(&clock),
            relays: parts.relays,
            sessions: parts.commands.sessions().clone(),
            refused_streams: refused_streams.clone(),
            replies: replies.clone(),
            connections: connections.clone(),
        };
        let context = Context {
            sessions: parts.commands.sessions().clone(),
            commands: parts.commands,
            queries: parts.queries,
            feed: parts.feed,
            tokens: parts.tokens,
            clock,
            refused_streams,
            replies: replies.clone(),
            engines: parts.engines,
            identity: parts.identity,
            readiness: Arc::new(Mutex::new(TroubleLog::new("the database"))),
            stop: parts.stop,
            draining: parts.draining.clone(),
        };
        let api = described(groups(context));
        let docs = api.swagger_ui_html();
        let whole = Whole {
            api: api.into_endpoint().data(Arc::clone(&authenticator)),
            authenticator,
            docs: fixed(docs.into(), "text/html; charset=utf-8", Some(DOCS_POLICY)),
            document: fixed(document.into(), "application/json", None),
            metrics: poem::get(metrics).boxed(),
            answers,
            routes,
            ids,
            replies: replies.clone(),
            draining: parts.draining,
        };
        let guarded =
            CatchPanic::new().with_handler(|_| Problem::new(Kind::Internal).into_response());
        let endpoint = Arc::new(whole.with(guarded).map_to_response().boxed());
        Self { endpoint, replies, connections }
    }

    pub(crate) async fn answer(&self, request: Request) -> Response {
        self.endpoint.get_response(request).await
    }

    /// Lets someone connect; `None` where there is no room for them.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<Arc<Connection>> {
        self.connections.admit(peer)
    }

    /// The room for replies.
    pub(crate) const fn replies(&self) -> &ReplyRoom {
        &self.replies
    }
}

/// The OpenAPI document of the service.
pub fn openapi() -> String {
    // The document comes from the types alone: no operation of these groups is ever called.
    type Groups =
        (HoldersApi, AccountsApi, OrdersApi, EventsApi, NotificationsApi, TasksApi, HealthApi);
    described(Documented::<Groups>::default()).spec()
}

fn groups(context: Context) -> impl OpenApi + 'static {
    (
        HoldersApi(context.clone()),
        AccountsApi(context.clone()),
        OrdersApi(context.clone()),
        EventsApi(context.clone()),
        NotificationsApi(context.clone()),
        TasksApi(context.clone()),
        HealthApi(context),
    )
}

/// A group of operations that is described and not served.
struct Documented<T>(std::marker::PhantomData<T>);

impl<T> Default for Documented<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: OpenApi> OpenApi for Documented<T> {
    fn meta() -> Vec<poem_openapi::registry::MetaApi> {
        T::meta()
    }

    fn register(registry: &mut poem_openapi::registry::Registry) {
        T::register(registry);
    }

    fn add_routes(
        self,
        _routes: &mut std::collections::HashMap<
            String,
            std::collections::HashMap<poem::http::Method, BoxEndpoint<'static>>,
        >,
    ) {
    }
}

fn described<T: OpenApi>(groups: T) -> OpenApiService<T, ()> {
    OpenApiService::new(groups, "Daybook", env!("CARGO_PKG_VERSION"))
        .description(
            "Accounts, orders, notifications and tasks, all from one log. Every error is a problem document \
             (RFC 9457) with a stable `type`; every write that is done answers the position of its last event in \
             `Daybook-Position`; every POST that changes something takes an `Idempotency-Key`.",
        )
        .license(poem_openapi::LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
        .server("/")
}

/// What is answered also where there are too many connections for anything else.
fn is_short_question(path: &str) -> bool {
    matches!(path, "/health/live" | "/health/ready" | "/metrics")
}

/// A page that never changes while the process runs.
fn fixed(
    body: Bytes,
    content_type: &'static str,
    policy: Option<&'static str>,
) -> impl Endpoint<Output = Response> {
    let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&body)));
    poem::get(make_sync(move |request| {
        let known = request.header(header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(&etag));
        let builder = Response::builder()
            .header(header::ETAG, &etag)
            .header(header::CACHE_CONTROL, "no-cache");
        let builder = match policy {
            Some(policy) => builder.header(header::CONTENT_SECURITY_POLICY, policy),
            None => builder,
        };
        if known {
            builder.status(StatusCode::NOT_MODIFIED).finish()
        } else {
            builder.content_type(content_type).body(body.clone())
        }
    }))
}

/// The outermost layer: names each request, and turns every error into a problem.
struct Whole<A, D> {
    api: A,
    docs: D,
    document: D,
    metrics: BoxEndpoint<'static, Response>,
    answers: Answers,
    authenticator: Arc<Authenticator>,
    routes: Routes,
    ids: Arc<dyn IdSource>,
    replies: ReplyRoom,
    draining: CancellationToken,
}

impl<A: Endpoint, D: Endpoint> Endpoint for Whole<A, D> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let id = request
            .header(REQUEST_ID)
            .and_then(crate::scalars::read_uuid)
            .unwrap_or_else(|| self.ids.next());
        request.extensions_mut().insert(RequestId(id));
        let refused = request.extensions().get::<Refusal>().copied();
        let connection = request.extensions().get::<Arc<Connection>>();
        let is_reserve = connection.is_some_and(|connection| connection.is_reserve());
        let span = tracing::debug_span!("request", method = %request.method(), path = request.uri().path(), request_id = %id);
        let path = request.uri().path().to_owned();
        let answered = match path.as_str() {
            _ if let Some(refusal) = refused => Err(Problem::from(refusal).into()),
            other if is_reserve && !is_short_question(other) => {
                Err(Problem::new(Kind::Overloaded).into())
            }
            "/" => Ok(Redirect::see_other("/docs").into_response()),
            "/docs" => self.docs.call(request).await.map(IntoResponse::into_response),
            "/openapi.json" => self.document.call(request).await.map(IntoResponse::into_response),
            "/metrics" => self.metrics.call(request).await,
            _ => self.operation(request).instrument(span).await,
        };
        let mut response = answered.unwrap_or_else(|error| self.problem(error, &path));
        self.answers.count(response.status());
        let headers = response.headers_mut();
        if let Ok(id) =
            HeaderValue::from_str(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
        {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Nothing is for a cache but what says so: tokens and problems least of all.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if refused.is_some() || is_reserve || self.draining.is_cancelled() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

impl<A, D> Whole<A, D> {
    /// Why a request can't be read. Without a token nobody learns more than that one is needed.
    async fn refusal(&self, request: &Request) -> Option<Problem> {
        let fault = self.routes.fault(request)?;
        if fault.needs_token
            && let Err(refused) = self.authenticator.caller(request).await
        {
            return Some(refused);
        }
        Some(fault.problem)
    }

    async fn operation(&self, request: Request) -> poem::Result<Response>
    where
        A: Endpoint,
    {
        if let Some(problem) = self.refusal(&request).await {
            return Err(problem.into());
        }
        let response = self.api.call(request).await?.into_response();
        self.held(response).await
    }

    /// The reply, with the room that it takes. A stream has its own, frame by frame.
    async fn held(&self, mut response: Response) -> poem::Result<Response> {
        let is_held = response.extensions_mut().remove::<HasRoom>().is_some();
        if is_held || response.content_type() == Some(EVENT_STREAM) {
            return Ok(response);
        }
        let bytes = response.take_body().into_bytes().await?;
        let room = self.replies.reply(bytes.len()).await?;
        let bytes = match room {
            Some(room) => room.hold(bytes),
            None => bytes,
        };
        response.set_body(bytes);
        Ok(response)
    }

    fn problem(&self, error: poem::Error, path: &str) -> Response {
        if error.is_from_response() {
            return error.into_response();
        }
        let problem = if error.is::<NotFoundError>() {
            Problem::new(Kind::RouteNotFound)
        } else if error.is::<MethodNotAllowedError>() {
            Problem::method_not_allowed(self.routes.allowed(path))
        } else if let Some(error) = error.downcast_ref::<ParseParamError>() {
            Problem::parameter(error.name, "is not what this operation takes")
        } else if error.status().is_client_error() {
            Problem::new(Kind::InvalidParameter)
        } else {
            tracing::error!(%error, "a request failed");
            Problem::new(Kind::Internal)
        };
        problem.into_response()
    }
}
