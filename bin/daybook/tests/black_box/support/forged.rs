//! Tokens as whoever has the key could make them.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::Folder;

/// A token taken apart, and the key that signs another.
#[derive(Clone)]
pub(crate) struct Forged {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    pub(crate) key: Vec<u8>,
}

impl Forged {
    /// One that says what a good token says, with the key of the server in this folder.
    #[track_caller]
    pub(crate) fn from(token: &str, folder: &Folder) -> Self {
        let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
        let (header, claims) = (json(), json());
        let key = fs::read(folder.file("daybook.key")).unwrap().trim_ascii().to_vec();
        Self { header, claims, key }
    }

    /// The same with another member of its header.
    pub(crate) fn header(&self, name: &str, value: Value) -> Self {
        let mut other = self.clone();
        set(&mut other.header, name, value);
        other
    }

    /// The same with another claim.
    pub(crate) fn claim(&self, name: &str, value: Value) -> Self {
        let mut other = self.clone();
        set(&mut other.claims, name, value);
        other
    }

    /// A claim that is a number.
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.claims[name].as_i64().unwrap()
    }

    /// The token, signed.
    pub(crate) fn token(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

/// Sets a member; null takes it away.
fn set(object: &mut Value, name: &str, value: Value) {
    let members = object.as_object_mut().unwrap();
    match value {
        Value::Null => drop(members.remove(name)),
        value => drop(members.insert(name.to_owned(), value)),
    }
}
