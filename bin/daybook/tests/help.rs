//! The command line's help changes only on purpose: `cargo insta review` shows what changed.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::{Command, Stdio};

fn help(args: &[&str]) -> String {
    let daybook = env!("CARGO_BIN_EXE_daybook");
    let ran = Command::new(daybook)
        .args(args)
        .arg("--help")
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn daybook() {
    insta::assert_snapshot!(help(&[]));
}

#[test]
fn every_command() {
    for command in [
        "serve",
        "worker",
        "migrate",
        "verify",
        "rebuild",
        "publish",
        "subscribe",
        "enqueue",
        "openapi",
    ] {
        insta::assert_snapshot!(command, help(&[command]));
    }
}

#[test]
fn whoever_stops_reading_has_seen_enough() {
    let daybook = env!("CARGO_BIN_EXE_daybook");
    let shell = format!("'{daybook}' openapi | head -c 10 >/dev/null; exit ${{PIPESTATUS[0]}}");
    let ran = Command::new("bash").args(["-c", &shell]).stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stderr.is_empty(), "{ran:?}");
}
