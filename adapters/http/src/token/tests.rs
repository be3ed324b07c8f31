use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;

const SECRET: &[u8] = b"of many different bytes, as it has to be";
const NOW: i64 = 1_700_000_000;
const DAY: i64 = 24 * 60 * 60;

fn tokens() -> Tokens {
    Tokens::new(&SigningKey::new(SECRET).unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn session() -> Session {
    Session {
        id: SessionId::from_uuid(Uuid::from_u128(7)),
        holder_id: HolderId::from_uuid(Uuid::from_u128(1)),
        credentials: Version::new(3),
        until: at(NOW + DAY),
    }
}

/// A token that says this, signed with the key.
fn signed(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn claims() -> Value {
    json!({
        "sub": Uuid::from_u128(1), "iss": "daybook", "iat": NOW, "exp": NOW + DAY,
        "jti": Uuid::from_u128(7), "credentials": 3,
    })
}

fn header() -> Value {
    json!({ "typ": "JWT", "alg": "HS256" })
}

/// The value with one field set, or without it.
fn with(value: &Value, field: &str, to: &Value) -> Value {
    let mut value = value.clone();
    let fields = value.as_object_mut().unwrap();
    if to.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), to.clone());
    }
    value
}

#[test]
fn a_token_stands_for_its_session_until_that_expires() {
    let token = tokens().issue(&session(), at(NOW)).unwrap();
    let tokens = tokens();
    for _ in 0..2 {
        assert_eq!(tokens.session(&token, at(NOW), at(NOW)), Some(session()));
        assert_eq!(tokens.session(&token, at(NOW + DAY - 1), at(NOW + DAY - 1)), Some(session()));
        assert_eq!(tokens.session(&token, at(NOW + DAY), at(NOW + DAY)), None);
    }
    assert_eq!(tokens.session(&signed(&header(), &claims()), at(NOW), at(NOW)), Some(session()));
}

#[test]
fn a_token_that_says_something_else_than_ours_stands_for_nothing() {
    let tokens = tokens();
    let refused = |header: &Value, claims: &Value| {
        let token = signed(header, claims);
        let (first, second) =
            (tokens.session(&token, at(NOW), at(NOW)), tokens.session(&token, at(NOW), at(NOW)));
        assert_eq!((first, second), (None, None), "{header} {claims}");
    };
    for (field, to) in [
        ("typ", json!("at+jwt")),
        ("typ", json!("JWS")),
        ("typ", json!("")),
        ("typ", Value::Null),
        ("crit", json!(["exp"])),
        ("crit", json!(["https://example.com/x"])),
        ("crit", json!([])),
        ("alg", json!("HS512")),
        ("alg", json!("RS256")),
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", Value::Null),
    ] {
        refused(&with(&header(), field, &to), &claims());
    }
    for (field, to) in [
        ("iat", json!(NOW + 31)),
        ("iat", json!(NOW + 3_600)),
        ("iat", json!(NOW - 1)),
        ("iat", Value::Null),
        ("nbf", json!(NOW + 31)),
        ("nbf", json!(NOW + 3_600)),
        ("nbf", json!("soon")),
        ("exp", json!(1_000_000_000_000_000_000_i64)),
        ("exp", json!(NOW + DAY + 1)),
        ("exp", json!(NOW)),
        ("exp", json!(NOW - 1)),
        ("exp", json!(-1)),
        ("exp", json!(9.9e99)),
        ("exp", json!("never")),
        ("exp", Value::Null),
        ("iss", json!("elsewhere")),
        ("iss", json!(["daybook", "elsewhere"])),
        ("iss", Value::Null),
        ("sub", json!("ada")),
        ("sub", Value::Null),
        ("jti", json!("7")),
        ("jti", Value::Null),
        ("credentials", json!(-1)),
        ("credentials", Value::Null),
    ] {
        refused(&header(), &with(&claims(), field, &to));
    }
}

#[test]
fn clocks_may_differ_by_half_a_minute() {
    let ahead = with(&claims(), "iat", &json!(NOW + 30));
    let ahead = with(&ahead, "nbf", &json!(NOW + 30));
    assert!(tokens().session(&signed(&header(), &ahead), at(NOW), at(NOW)).is_some());
}

#[test]
fn a_token_is_good_though_the_clock_was_set_back_since() {
    let token = tokens().issue(&session(), at(NOW)).unwrap();
    assert_eq!(tokens().session(&token, at(NOW - 3_600), at(NOW)), Some(session()));
    assert_eq!(tokens().session(&token, at(NOW - 3_600), at(NOW - 3_600)), None);
}

#[test]
fn what_is_not_signed_with_the_key_stands_for_nothing() {
    let other = SigningKey::new(b"another secret of different bytes, too").unwrap();
    let token = Tokens::new(&other).issue(&session(), at(NOW)).unwrap();
    assert_eq!(tokens().session(&token, at(NOW), at(NOW)), None);
    let token = tokens().issue(&session(), at(NOW)).unwrap();
    let (head, signature) = token.rsplit_once('.').unwrap();
    for forged in [
        "",
        "x",
        "a.b.c",
        head,
        &format!("{head}."),
        &format!("{token}x"),
        &format!("{token}=="),
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{head}.{}", signature.to_ascii_lowercase()),
    ] {
        assert_eq!(tokens().session(forged, at(NOW), at(NOW)), None, "{forged}");
    }
}

#[test]
fn a_weak_key_is_no_key() {
    assert_eq!(SigningKey::new(&[0; 31]).err(), Some(WeakKey::Short));
    assert_eq!(SigningKey::new(&[b'a'; 32]).err(), Some(WeakKey::Repetitive));
    assert_eq!(SigningKey::new("abcd".repeat(20).as_bytes()).err(), Some(WeakKey::Repetitive));
    assert_eq!(SigningKey::new("password".repeat(4).as_bytes()).err(), Some(WeakKey::Repetitive));
    assert_eq!(SigningKey::new("0123456789".repeat(4).as_bytes()).err(), Some(WeakKey::Repetitive));
    // As `openssl rand -hex 32` and -base64 32 make them.
    let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    assert!(SigningKey::new(hex.as_bytes()).is_ok());
    assert!(SigningKey::new(SECRET).is_ok());
}
