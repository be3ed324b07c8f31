//! Who asks: the bearer token, before anything else of a request is looked at.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use daybook_application::Caller;
use daybook_events::{Clock, HolderId, Timestamp};
use poem::http::header;
use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::limits::RateLimits;
use crate::problem::{Kind, Problem};
use crate::token::Tokens;

/// What is needed to tell who asks.
pub(crate) struct Authenticator {
    pub tokens: Tokens,
    pub clock: Arc<dyn Clock>,
    pub operators: HashSet<HolderId>,
    pub limits: Arc<RateLimits>,
}

impl Authenticator {
    pub(crate) fn caller(&self, request: &Request) -> Result<Bearer, Problem> {
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let (holder_id, until) = token
            .and_then(|token| self.tokens.holder(token, self.clock.now()))
            .ok_or(Problem::new(Kind::Unauthenticated))?;
        if !self.limits.allow_holder(holder_id) {
            return Err(Problem::new(Kind::RateLimited));
        }
        let caller = Caller { holder_id, operator: self.operators.contains(&holder_id) };
        Ok(Bearer(caller, until))
    }
}

/// The caller, by their bearer token, and when that expires.
pub(crate) struct Bearer(pub Caller, pub Timestamp);

/// Someone without a token, who does not ask too often.
pub(crate) struct Guest;

impl<'a> FromRequest<'a> for Guest {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        let authenticator: &Arc<Authenticator> =
            request.data().ok_or(Problem::new(Kind::Internal))?;
        let client = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        if authenticator.limits.allow_credentials(client) {
            Ok(Self)
        } else {
            Err(Problem::new(Kind::RateLimited).into())
        }
    }
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
                    "The token that POST /register or POST /login answers; valid for 24 hours",
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
        let authenticator: &Arc<Authenticator> =
            request.data().ok_or(Problem::new(Kind::Internal))?;
        let caller = authenticator.caller(request)?;
        Ok(caller)
    }
}
