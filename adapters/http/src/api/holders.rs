//! Register, log in and out, change the password, and see who you are.

use daybook_accounts::{Email, FullName, InvalidPassword, Password, Session};
use daybook_application::{LoginError, Registration};
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::Header;

use super::{Context, Group, receipt, unexpected};
use crate::auth::{Bearer, Client, Guest};
use crate::body::Body;
use crate::document::{Credentials, Me, NewHolder, NewPassword, Token};
use crate::problem::{
    ChangingPassword, Failure, Kind, Listing, LoggingIn, LoggingOut, Problem, Registering,
};
use crate::reply::{Json, Nothing, Written};
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
        guest: Guest,
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
        // The password is not in it: a digest would be worth guessing at. It is compared with the hash.
        let understood = (registration.email.as_str(), &registration.full_name);
        let request = request::of(request, key.0.as_ref(), "register", &understood);
        let registered = self.0.commands.register(registration, request, guest.0).await?;
        let outcome = &registered.outcome;
        receipt(outcome)?;
        // A repeated request gets a token of its own: tokens are not stored.
        let session = registered.session.ok_or_else(unexpected)?;
        Ok(Written::new(outcome, &self.token(&session)?))
    }

    /// Log in
    ///
    /// Answers a token for the holder with this email address and password. Who is wrong again and again
    /// at one address has to wait, longer each time; the holder elsewhere has not.
    #[oai(path = "/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        guest: Guest,
        body: Body<Credentials>,
    ) -> Result<Json<Token>, Failure<LoggingIn>> {
        let Credentials { email, password } = body.value;
        let email: Email = email.parse().map_err(|error| Problem::field("email", error))?;
        let password =
            Password::attempt(&password).map_err(|error| Problem::field("password", error))?;
        let session = self.0.commands.log_in(&email, password, guest.0).await?;
        Ok(Json::of(&self.token(&session)?))
    }

    /// Log out
    ///
    /// The token is not valid any more, on any instance, and streams that were asked for with it end.
    #[oai(path = "/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        caller: Bearer,
        client: Client,
        request: &Request,
    ) -> Result<Written<204, Nothing>, Failure<LoggingOut>> {
        let request = request::keyless(request);
        let outcome = self.0.commands.log_out(caller.1, request, client.0).await?;
        receipt(&outcome)?;
        Ok(Written::empty(&outcome))
    }

    /// Change the password
    ///
    /// All other tokens of yours are not valid any more, on any instance, and streams that were asked for
    /// with them end; this one goes on.
    #[oai(path = "/me/password", method = "post", operation_id = "changePassword")]
    async fn change_password(
        &self,
        caller: Bearer,
        client: Client,
        request: &Request,
        body: Body<NewPassword>,
    ) -> Result<Written<204, Nothing>, Failure<ChangingPassword>> {
        let NewPassword { password, new_password } = body.value;
        let field = |name, error: InvalidPassword| Problem::field(name, error);
        let present = Password::attempt(&password).map_err(|error| field("password", error))?;
        let new = Password::new(&new_password).map_err(|error| field("new_password", error))?;
        let (request, commands) = (request::keyless(request), &self.0.commands);
        let changed = commands.change_password(caller.1, present, new, request, client.0).await;
        let outcome = changed.map_err(|error| match error {
            LoginError::BadCredentials => Problem::new(Kind::WrongPassword),
            LoginError::Guessable => Problem::field("new_password", error),
            other => other.into(),
        })?;
        receipt(&outcome)?;
        Ok(Written::empty(&outcome))
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

impl HoldersApi {
    fn token(&self, session: &Session) -> Result<Token, Problem> {
        let token = self.0.tokens.issue(session, self.0.clock.now());
        token.map(|token| Token { token }).ok_or(Problem::new(Kind::Internal))
    }
}
