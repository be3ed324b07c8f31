//! What stands in `deploy/`, `.env.example` and `.dockerignore` fits together and fits the binary.
//! No container engine is needed for that; where Compose is installed, it reads its files as well.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise, and a JSON value has null where there is nothing"
)]

#[path = "deploy/compose.rs"]
mod compose;
#[path = "deploy/image.rs"]
mod image;
#[path = "deploy/secrets.rs"]
mod secrets;
#[path = "deploy/settings.rs"]
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn assert_sound(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
