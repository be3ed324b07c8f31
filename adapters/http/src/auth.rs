//! Who asks: the bearer token, before anything else of a request is looked at.

use std::collections::HashSet;
use std::sync::Arc;

use daybook_accounts::Session;
use daybook_application::{Caller, Origin, Sessions};
use daybook_events::{Clock, HolderId};
use poem::http::header;
use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::connections::Connection;
use crate::limits::RateLimits;
use crate::origin::Proxies;
use crate::problem::{Kind, Problem};
use crate::token::Tokens;

/// What is needed to tell who asks.
pub(crate) struct Authenticator {
    pub tokens: Tokens,
    pub clock: Arc<dyn Clock>,
    pub operators: HashSet<HolderId>,
    pub limits: Arc<RateLimits>,
    pub sessions: Sessions,
    pub proxies: Proxies,
}

impl Authenticator {
    pub(crate) async fn caller(&self, request: &Request) -> Result<Bearer, Problem> {
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let now = self.clock.now();
        let session = token
            .and_then(|token| self.tokens.session(token, now, self.sessions.latest(now)))
            .ok_or(Problem::new(Kind::Unauthenticated))?;
        if !self.sessions.is_live(&session).await? {
            return Err(Problem::new(Kind::Unauthenticated));
        }
        let holder_id = session.holder_id;
        if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
            connection.claim(holder_id)?;
        }
        self.limits.allow_holder(holder_id)?;
        let caller = Caller { holder_id, operator: self.operators.contains(&holder_id) };
        Ok(Bearer(caller, session))
    }
}

/// The caller, by their bearer token, and the session that it stands for.
pub(crate) struct Bearer(pub Caller, pub Session);

/// Someone without a token, who does not ask too often, and where they are.
pub(crate) struct Guest(pub Origin);

impl<'a> FromRequest<'a> for Guest {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> Result<Self> {
        let Client(origin) = <Client as FromRequest>::from_request(request, body).await?;
        authenticator(request)?.limits.allow_credentials(origin)?;
        Ok(Self(origin))
    }
}

/// Where a request comes from.
pub(crate) struct Client(pub Origin);

impl<'a> FromRequest<'a> for Client {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(Self(authenticator(request)?.proxies.origin(request)))
    }
}

fn authenticator(request: &Request) -> Result<&Arc<Authenticator>, Problem> {
    request.data().ok_or(Problem::new(Kind::Internal))
}

const SCHEME: &str = "bearer";

impl<'a> ApiExtractor<'a> for Bearer {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some(
                    "The token that POST /register or POST /login answers; valid for 24 hours, until POST /logout, \
                     or until the password is changed in another session",
                ),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        Ok(authenticator(request)?.caller(request).await?)
    }
}
