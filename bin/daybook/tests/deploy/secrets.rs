//! The script that makes the secrets: once, closed to others, and those that Compose asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::compose::{entries, production};
use crate::{root, text};

fn make_secrets(folder: &Path) -> BTreeMap<String, String> {
    let script = folder.join("make-secrets.sh");
    fs::copy(root().join("deploy/make-secrets.sh"), &script).unwrap();
    let ran =
        Command::new("sh").arg(script).current_dir("/").stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let files = fs::read_dir(folder.join("secrets")).unwrap().map(Result::unwrap);
    files
        .map(|file| {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o444, "each service has a user of its own: {file:?}");
            let name = file.file_name().into_string().unwrap();
            (name, fs::read_to_string(file.path()).unwrap())
        })
        .collect()
}

#[test]
fn secrets_are_made_once_and_are_those_that_compose_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let made = make_secrets(folder.path());
    let permissions = fs::metadata(folder.path().join("secrets")).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o700, "the folder keeps others out");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "something else was left behind");

    let asked: BTreeSet<_> = entries(&production()["secrets"])
        .map(|(_, secret)| secret["file"].as_str().unwrap().to_owned())
        .collect();
    let there: BTreeSet<_> = made.keys().map(|name| format!("./secrets/{name}")).collect();
    assert_eq!(asked, there);

    assert_eq!(make_secrets(folder.path()), made, "a second run changed something");
    let elsewhere = tempfile::tempdir().unwrap();
    let others = make_secrets(elsewhere.path());
    for (name, secret) in &made {
        assert_ne!(Some(secret), others.get(name), "{name} is not random");
    }
}

#[test]
fn secrets_fit_together() {
    let folder = tempfile::tempdir().unwrap();
    let made = make_secrets(folder.path());
    let secret = |name: &str| made.get(name).unwrap().trim_end();
    let after = |name: &str, key: &str| {
        let mut lines = secret(name).lines();
        lines.find_map(|line| line.strip_prefix(key)).unwrap().to_owned()
    };
    let database = secret("daybook_password");
    let redis = after("redis.conf", "requirepass ");
    let rabbitmq = after("rabbitmq.conf", "default_pass = ");
    assert_eq!(
        secret("database_url"),
        format!("postgres://daybook:{database}@postgres:5432/daybook")
    );
    assert_eq!(secret("redis_url"), format!("redis://default:{redis}@redis:6379"));
    assert_eq!(secret("amqp_url"), format!("amqp://daybook:{rabbitmq}@rabbitmq:5672/%2f"));
    let random = [database, &redis, &rabbitmq, secret("postgres_password"), secret("signing_key")];
    assert_eq!(random.iter().collect::<BTreeSet<_>>().len(), 5, "two of them are the same");
    for password in random {
        assert!(password.len() >= 48 && password.chars().all(|c| c.is_ascii_hexdigit()));
    }
    assert!(text("deploy/.gitignore").lines().any(|line| line == "/secrets/"));
}
