//! Errors as RFC 9457 problem documents.

use std::marker::PhantomData;
use std::time::Duration;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, Registry,
};
use poem_openapi::types::{Example, Type};
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;

use daybook_accounts::AccountRejection;
use daybook_application::{CommandError, LoginError, QueryError, Rejection};
use daybook_orders::OrderRejection;

use crate::reply::REPLAYED;

/// An RFC 9457 problem document. `type` is stable; `detail` is for people.
#[derive(Clone, Debug, Serialize, Object)]
#[oai(rename = "Problem", example)]
pub(crate) struct ProblemDocument {
    /// What kind of problem this is: a stable URI.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    kind: String,
    /// The kind, in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    detail: Option<String>,
}

impl Example for ProblemDocument {
    fn example() -> Self {
        Problem::new(Kind::InsufficientFunds).document()
    }
}

macro_rules! kinds {
    ($($kind:ident $slug:literal $status:literal $title:literal;)+) => {
        /// The kinds of problem there are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = $title] $kind,)+
        }

        impl Kind {
            const fn parts(self) -> (&'static str, u16, &'static str) {
                match self {
                    $(Self::$kind => (concat!("urn:daybook:problem:", $slug), $status, $title),)+
                }
            }
        }
    };
}

kinds! {
    InvalidRequest "invalid-request" 400 "The request is not one of HTTP/1.1";
    InvalidBody "invalid-body" 400 "The body is not what this operation takes";
    InvalidParameter "invalid-parameter" 400 "A parameter is not what this operation takes";
    InvalidAmount "invalid-amount" 400 "The amount is not possible in this currency";
    Unauthenticated "unauthenticated" 401 "A valid bearer token is needed";
    BadCredentials "bad-credentials" 401 "The email address or the password is wrong";
    WrongPassword "wrong-password" 403 "The present password is another one";
    MailNotAllowed "mail-not-allowed" 403 "You may not send mail to this address";
    NotFound "not-found" 404 "There is no such thing";
    RouteNotFound "route-not-found" 404 "There is no such route";
    MethodNotAllowed "method-not-allowed" 405 "This route does not take this method";
    RequestTimeout "request-timeout" 408 "The request took too long to arrive";
    InsufficientFunds "insufficient-funds" 409 "The account has insufficient funds";
    BalanceOutOfRange "balance-out-of-range" 409 "The balance would be too large";
    CurrencyMismatch "currency-mismatch" 409 "The currencies differ";
    OrderAlreadyPaid "order-already-paid" 409 "The order is paid already";
    OrderAlreadyCanceled "order-already-canceled" 409 "The order is canceled";
    OrderWithoutTotal "order-without-total" 409 "The order has no total that an account could pay";
    PositionPastEnd "position-past-end" 409 "The log ends before this position";
    EmailTaken "email-taken" 409 "The email address is registered already";
    TaskNotDead "task-not-dead" 409 "Only a task that is dead or waits can be retried";
    TaskDuplicated "task-duplicated" 409 "Another task with the same unique key is there";
    TaskNotDiscardable "task-not-discardable" 409 "Only a task that waits or is dead can be discarded";
    BodyTooLarge "body-too-large" 413 "The body is too large";
    UnsupportedMediaType "unsupported-media-type" 415 "The body must be application/json";
    KeyReused "idempotency-key-reused" 422 "The idempotency key was used for another request";
    RateLimited "rate-limited" 429 "Too many requests";
    TooManyConnections "too-many-connections" 429 "You have too many connections open";
    TooManyStreams "too-many-streams" 429 "You have too many streams open";
    HeadTooLarge "head-too-large" 431 "The head of the request has more than 32 KiB or 100 lines";
    Internal "internal" 500 "Something went wrong here";
    Overloaded "overloaded" 503 "Too much is going on; try again";
    Unavailable "unavailable" 503 "A part of the service is unavailable; try again";
    Contended "contended" 503 "Others kept changing the same things; try again";
    PositionNotReached "position-not-reached" 503 "The log has not come as far as was asked for; try again";
    OutcomeUnknown "outcome-unknown" 503 "It may have happened or not; try again with the same idempotency key";
    VersionNotSupported "version-not-supported" 505 "This version of HTTP is not spoken here";
}

/// A problem to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Option<String>,
    allow: Option<String>,
    replayed: bool,
    /// How many seconds to wait, where that is known.
    wait: Option<u64>,
    /// Whether the connection ends with it.
    closes: bool,
}

impl Problem {
    pub(crate) const CONTENT_TYPE: &'static str = "application/problem+json";

    pub(crate) const fn new(kind: Kind) -> Self {
        Self { kind, detail: None, allow: None, replayed: false, wait: None, closes: false }
    }

    pub(crate) fn with_detail(kind: Kind, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(kind) }
    }

    /// The last reply of its connection.
    pub(crate) fn closing(kind: Kind) -> Self {
        Self { closes: true, ..Self::new(kind) }
    }

    /// What may be asked again after some time.
    pub(crate) fn later(kind: Kind, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { wait: Some(seconds.max(1)), ..Self::new(kind) }
    }

    /// A body whose `field` is not acceptable.
    pub(crate) fn field(field: &str, reason: impl std::fmt::Display) -> Self {
        Self::with_detail(Kind::InvalidBody, format!("{field}: {reason}"))
    }

    /// A parameter that is not acceptable.
    pub(crate) fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::with_detail(Kind::InvalidParameter, format!("{name}: {reason}"))
    }

    pub(crate) fn method_not_allowed(allow: String) -> Self {
        Self { allow: Some(allow), ..Self::new(Kind::MethodNotAllowed) }
    }

    /// The refusal of a command, which may be one that was remembered.
    pub(crate) fn refusal(rejection: Rejection, replayed: bool) -> Self {
        Self { replayed, ..rejection.into() }
    }

    #[cfg(test)]
    pub(crate) fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or_default()
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.parts().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn document(&self) -> ProblemDocument {
        let (kind, status, title) = self.kind.parts();
        ProblemDocument {
            kind: kind.to_owned(),
            title: title.to_owned(),
            status,
            detail: self.detail.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        let mut response =
            Response::builder().status(status).content_type(Self::CONTENT_TYPE).body(body);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.wait.unwrap_or(1)));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        Self::from_response(problem.into_response())
    }
}

impl From<AccountRejection> for Problem {
    fn from(rejection: AccountRejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            AccountRejection::AmountNotADecimal
            | AccountRejection::AmountTooPrecise
            | AccountRejection::AmountOutOfRange
            | AccountRejection::AmountNotPositive
            | AccountRejection::InitialBalance(_)
            | AccountRejection::InitialBalanceNegative => {
                Self::with_detail(Kind::InvalidAmount, detail)
            }
            AccountRejection::InsufficientFunds => Self::new(Kind::InsufficientFunds),
            AccountRejection::BalanceOutOfRange => Self::new(Kind::BalanceOutOfRange),
            AccountRejection::CurrencyMismatch => Self::new(Kind::CurrencyMismatch),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::AccountNotFound | Rejection::OrderNotFound | Rejection::TaskNotFound => {
                Self::new(Kind::NotFound)
            }
            Rejection::MailNotAllowed => Self::with_detail(
                Kind::MailNotAllowed,
                "only to the address you registered with, unless the mail policy of this service \
                 allows more",
            ),
            Rejection::TaskNotDead => Self::new(Kind::TaskNotDead),
            Rejection::TaskDuplicated => Self::new(Kind::TaskDuplicated),
            Rejection::TaskNotDiscardable => Self::new(Kind::TaskNotDiscardable),
            Rejection::EmailTaken => Self::new(Kind::EmailTaken),
            Rejection::SessionOver => Self::new(Kind::Unauthenticated),
            Rejection::Account(rejection) => rejection.into(),
            Rejection::Order(OrderRejection::AlreadyPaid) => Self::new(Kind::OrderAlreadyPaid),
            Rejection::Order(OrderRejection::NoTotal) => Self::new(Kind::OrderWithoutTotal),
            Rejection::Order(OrderRejection::AlreadyCanceled) => {
                Self::new(Kind::OrderAlreadyCanceled)
            }
        }
    }
}

/// Faults are logged here, once, with their cause; the caller learns nothing of it.
impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let kind = match &error {
            CommandError::Overloaded => Kind::Overloaded,
            CommandError::Contended => Kind::Contended,
            CommandError::KeyReused => Kind::KeyReused,
            CommandError::Unavailable(_) => Kind::Unavailable,
            CommandError::OutcomeUnknown(_) => Kind::OutcomeUnknown,
            CommandError::Refused(_) | CommandError::Corrupt(_) => Kind::Internal,
        };
        match kind {
            Kind::KeyReused => {}
            Kind::Overloaded => tracing::debug!(%error, "a command was refused"),
            _ => tracing::error!(%error, "a command failed"),
        }
        Self::new(kind)
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        if let QueryError::NotReached { .. } = error {
            return Self::with_detail(Kind::PositionNotReached, error.to_string());
        }
        tracing::error!(%error, "a query failed");
        match error {
            QueryError::NotReached { .. } => Self::new(Kind::PositionNotReached),
            QueryError::Unavailable(_) => Self::new(Kind::Unavailable),
            QueryError::Corrupt(_) => Self::new(Kind::Internal),
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::BadCredentials => Self::new(Kind::BadCredentials),
            LoginError::Guessable => Self::field("password", error),
            LoginError::TooMany { wait } => Self::later(Kind::RateLimited, wait),
            LoginError::Overloaded { wait } => Self::later(Kind::Overloaded, wait),
            LoginError::Command(error) => error.into(),
            LoginError::Unavailable(_) => {
                tracing::error!(%error, "nobody can log in");
                Self::new(Kind::Unavailable)
            }
        }
    }
}

/// The statuses that an operation can fail with, for its documentation.
pub(crate) trait Failures: Send + Sync + 'static {
    const STATUSES: &'static [u16];
}

/// A problem of an operation that can fail with the statuses of `F`.
#[derive(Debug)]
pub(crate) struct Failure<F>(Problem, PhantomData<F>);

impl<F, P: Into<Problem>> From<P> for Failure<F> {
    fn from(problem: P) -> Self {
        Self(problem.into(), PhantomData)
    }
}

impl<F: Failures> From<Failure<F>> for poem::Error {
    fn from(failure: Failure<F>) -> Self {
        let status = failure.0.status();
        debug_assert!(F::STATUSES.contains(&status.as_u16()), "{status} is not documented");
        failure.0.into()
    }
}

impl<F: Failures> ApiResponse for Failure<F> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: F::STATUSES.iter().map(|status| meta(*status)).collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemDocument::register(registry);
    }
}

fn meta(status: u16) -> MetaResponse {
    let header = |name: &str, description: &str| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    };
    let (description, headers) = match status {
        400 => ("The request can never be right", vec![]),
        401 => ("There is no valid bearer token", vec![header("WWW-Authenticate", "`Bearer`")]),
        403 => ("It is not allowed: `type` says why", vec![]),
        404 => ("It is not there, or not yours", vec![]),
        408 => ("The body took too long to arrive", vec![]),
        409 => ("A rule refuses in the present state", vec![]),
        413 => ("The body is larger than 400 KiB", vec![]),
        415 => ("The body is not `application/json`", vec![]),
        422 => ("The idempotency key was used for another request", vec![]),
        429 => ("Too many requests", vec![header("Retry-After", "Seconds to wait")]),
        503 => {
            ("Too busy, or a part is unavailable", vec![header("Retry-After", "Seconds to wait")])
        }
        _ => ("Something went wrong here", vec![]),
    };
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: Problem::CONTENT_TYPE,
            schema: ProblemDocument::schema_ref().merge(MetaSchema {
                example: serde_json::to_value(Problem::new(example_of(status)).document()).ok(),
                ..MetaSchema::ANY
            }),
        }],
        headers,
    }
}

/// A kind of problem with this status, for the documentation.
const fn example_of(status: u16) -> Kind {
    match status {
        400 => Kind::InvalidBody,
        401 => Kind::Unauthenticated,
        403 => Kind::MailNotAllowed,
        404 => Kind::NotFound,
        408 => Kind::RequestTimeout,
        409 => Kind::InsufficientFunds,
        413 => Kind::BodyTooLarge,
        415 => Kind::UnsupportedMediaType,
        422 => Kind::KeyReused,
        429 => Kind::RateLimited,
        503 => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident [$($status:literal),+];)+) => {
        $($(#[$doc])* #[derive(Debug)] pub(crate) struct $name;
        impl Failures for $name {
            const STATUSES: &'static [u16] = &[$($status),+];
        })+
    };
}

failures! {
    /// Of registering.
    Registering [400, 408, 409, 413, 415, 422, 429, 500, 503];
    /// Of logging in.
    LoggingIn [400, 401, 408, 413, 415, 429, 500, 503];
    /// Of logging out.
    LoggingOut [400, 401, 429, 500, 503];
    /// Of changing a password.
    ChangingPassword [400, 401, 403, 408, 413, 415, 429, 500, 503];
    /// Of reading a list, or a stream.
    Listing [400, 401, 429, 500, 503];
    /// Of reading the log.
    ReadingLog [400, 401, 409, 429, 500, 503];
    /// Of reading the events of one thing.
    ReadingEvents [400, 401, 404, 409, 429, 500, 503];
    /// Of reading one thing.
    Reading [400, 401, 404, 429, 500, 503];
    /// Of making something new.
    Making [400, 401, 408, 409, 413, 415, 422, 429, 500, 503];
    /// Of changing one thing.
    Changing [400, 401, 404, 408, 409, 413, 415, 422, 429, 500, 503];
    /// Of putting a task on the queue.
    Enqueuing [400, 401, 403, 408, 409, 413, 415, 422, 429, 500, 503];
    /// Of putting a task back on the queue.
    Retrying [400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503];
    /// Of renaming an account, which takes no idempotency key.
    Renaming [400, 401, 404, 408, 413, 415, 429, 500, 503];
    /// Of closing an account, which takes no body.
    Closing [400, 401, 404, 429, 500, 503];
    /// Of asking whether the service is ready.
    NotReady [503];
}
