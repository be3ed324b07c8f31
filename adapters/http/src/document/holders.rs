//! Account holders.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EXAMPLE_ID, time};
use crate::scalars::DateTime;

/// Someone who wants to register.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct NewHolder {
    /// An email address, to log in with.
    #[oai(validator(max_length = 254))]
    pub email: String,
    /// At least 8 visible characters, and not one of the common passwords. It is compared in one form
    /// (PRECIS `OpaqueString`, RFC 8265, of NFKC), however it was typed.
    #[oai(validator(min_length = 8, max_length = 1024))]
    pub password: String,
    /// What the holder is called; at most 200 characters.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none)]
    #[oai(validator(min_length = 1, max_length = 200))]
    pub full_name: Option<String>,
}

impl Example for NewHolder {
    fn example() -> Self {
        Self {
            email: "ada@example.com".to_owned(),
            password: "correct horse battery".to_owned(),
            full_name: Some("Ada Example".to_owned()),
        }
    }
}

/// An email address and a password.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct Credentials {
    /// The email address of the registration.
    #[oai(validator(max_length = 254))]
    pub email: String,
    /// The password of the registration.
    #[oai(validator(min_length = 1, max_length = 1024))]
    pub password: String,
}

impl Example for Credentials {
    fn example() -> Self {
        Self { email: "ada@example.com".to_owned(), password: "correct horse battery".to_owned() }
    }
}

/// The present password and another one.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct NewPassword {
    /// The present password.
    #[oai(validator(min_length = 1, max_length = 1024))]
    pub password: String,
    /// The other one: at least 8 visible characters, and not one of the common passwords.
    #[oai(validator(min_length = 8, max_length = 1024))]
    pub new_password: String,
}

impl Example for NewPassword {
    fn example() -> Self {
        Self {
            password: "correct horse battery".to_owned(),
            new_password: "battery horse correct".to_owned(),
        }
    }
}

/// A bearer token.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Token {
    /// A JWT, valid for 24 hours: send it as `Authorization: Bearer …`.
    pub token: String,
}

impl Example for Token {
    fn example() -> Self {
        Self { token: "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.….…".to_owned() }
    }
}

/// The holder of the token.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Me {
    /// Names the holder.
    pub id: Uuid,
    /// The email address.
    pub email: String,
    /// What the holder is called; empty where they did not say.
    pub full_name: String,
    /// When the holder registered.
    pub created_at: DateTime,
}

impl Example for Me {
    fn example() -> Self {
        Self {
            id: EXAMPLE_ID,
            email: "ada@example.com".to_owned(),
            full_name: "Ada Example".to_owned(),
            created_at: time(),
        }
    }
}
