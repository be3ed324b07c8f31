//! Register, log in, and see who you are.

use daybook_accounts::{Email, FullName, Password};
use daybook_application::{Receipt, Registration};
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::Header;

use super::{Context, Group, receipt, unexpected};
use crate::auth::{Bearer, Guest};
use crate::body::Body;
use crate::document::{Credentials, Me, NewHolder, Token};
use crate::problem::{Failure, Kind, Listing, LoggingIn, Problem, Registering};
use crate::reply::{Json, Written};
use crate::request;
use crate::scalars::{DateTime, Key};

pub(crate) struct HoldersApi(pub Context);

#[OpenApi(tag = "Group::Holders")]
impl HoldersApi {
    /// Register
    ///
    /// Makes an account holder and answers a token. An email address can be registered once, in
    /// whatever case it is written.
    #[oai(path = "/register", method = "post", operation_id = "register")]
    async fn register(
        &self,
        _guest: Guest,
        request: &Request,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: Body<NewHolder>,
    ) -> Result<Written<201, Token>, Failure<Registering>> {
        let NewHolder { email, password, full_name } = body.value;
        let registration = Registration {
            email: Email::new(&email).map_err(|error| Problem::field("email", error))?,
            password: Password::new(&password)
                .map_err(|error| Problem::field("password", error))?,
            full_name: full_name
                .filter(|name| !name.is_empty())
                .map(|name| FullName::new(&name))
                .transpose()
                .map_err(|error| Problem::field("full_name", error))?,
        };
        // There is a password in it: a plain digest of it would be worth guessing at.
        let name = registration.full_name.as_ref().map(FullName::as_str).unwrap_or_default();
        let parts = [registration.email.as_str(), registration.password.expose(), name];
        let understood = serde_json::to_vec(&parts).unwrap_or_default();
        let digest = || self.0.tokens.keyed_digest(&[b"register", &understood]);
        let request = request::fingerprinted(request, key.0.as_ref(), digest);
        let outcome = self.0.commands.register(registration, request).await?;
        let Receipt::Registered(holder) = receipt(&outcome)? else {
            return Err(unexpected().into());
        };
        // A repeated request gets a token of its own: tokens are not stored.
        let token =
            self.0.tokens.issue(*holder, self.0.clock.now()).ok_or(Problem::new(Kind::Internal))?;
        Ok(Written::new(&outcome, &Token { token }))
    }

    /// Log in
    ///
    /// Answers a token for the holder with this email address and password.
    #[oai(path = "/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        _guest: Guest,
        body: Body<Credentials>,
    ) -> Result<Json<Token>, Failure<LoggingIn>> {
        let Credentials { email, password } = body.value;
        let email: Email = email.parse().map_err(|error| Problem::field("email", error))?;
        let password =
            Password::attempt(&password).map_err(|error| Problem::field("password", error))?;
        if !self.0.limits.allow_login(email.key()) {
            return Err(Problem::new(Kind::RateLimited).into());
        }
        let holder = self.0.commands.log_in(&email, password).await?;
        let token =
            self.0.tokens.issue(holder, self.0.clock.now()).ok_or(Problem::new(Kind::Internal))?;
        Ok(Json::of(&Token { token }))
    }

    /// Who the token names
    #[oai(path = "/me", method = "get", operation_id = "me")]
    async fn me(&self, caller: Bearer) -> Result<Json<Me>, Failure<Listing>> {
        let holder =
            self.0.queries.me(&caller.0).await?.ok_or(Problem::new(Kind::Unauthenticated))?;
        Ok(Json::of(&Me {
            id: holder.id.uuid(),
            email: holder.email.as_str().to_owned(),
            full_name: holder.full_name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
            created_at: DateTime(holder.created_at.to_string()),
        }))
    }
}
