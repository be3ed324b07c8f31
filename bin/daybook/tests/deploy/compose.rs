//! The Compose files: whole, closed, and without a secret in plain sight.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::settings::known_settings;
use crate::{assert_sound, root, text};

/// A YAML document, its anchors and merge keys resolved.
fn yaml(text: &str) -> Value {
    let mut document: yaml_serde::Value = yaml_serde::from_str(text).unwrap();
    // What is merged may have a merge key itself; one round resolves one of them.
    loop {
        let before = document.clone();
        document.apply_merge().unwrap();
        if document == before {
            break;
        }
    }
    serde_json::to_value(document).unwrap()
}

/// What Compose makes of two files: mappings are merged, lists joined.
fn overlay(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                overlay(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(below), Value::Array(above)) => below.extend(above),
        (below, above) => *below = above,
    }
}

pub(crate) fn production() -> Value {
    yaml(&text("deploy/compose.yaml"))
}

fn with_mail() -> Value {
    let mut compose = production();
    overlay(&mut compose, yaml(&text("deploy/compose.mail.yaml")));
    compose
}

fn development() -> Value {
    yaml(&text("deploy/compose.dev.yaml"))
}

pub(crate) fn entries(mapping: &Value) -> impl Iterator<Item = (&str, &Value)> {
    mapping.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    items(list).filter_map(Value::as_str)
}

/// Runs once and ends.
fn is_one_shot(service: &Value) -> bool {
    service["restart"] == "no"
}

/// The keys of a service that are used here. Another one is a slip, or to be added; `container_name`
/// must not be, as a service that has one can't be scaled.
const SERVICE_KEYS: [&str; 23] = [
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "deploy",
    "entrypoint",
    "environment",
    "healthcheck",
    "hostname",
    "image",
    "logging",
    "networks",
    "ports",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "tmpfs",
    "ulimits",
    "user",
    "volumes",
];

/// What a service takes from the declarations at the end of the file: of which kind, and its name.
fn taken(service: &Value) -> impl Iterator<Item = (&'static str, &str)> {
    let volumes = strings(&service["volumes"])
        .filter_map(|mount| mount.split(':').next())
        .filter(|source| !source.starts_with('.'))
        .map(|source| ("volumes", source));
    let networks = strings(&service["networks"]).map(|name| ("networks", name));
    let secrets = items(&service["secrets"])
        .filter_map(|secret| secret.as_str().or_else(|| secret["source"].as_str()))
        .map(|name| ("secrets", name));
    volumes.chain(networks).chain(secrets)
}

/// What Compose would refuse, or what would never start.
fn structure_faults(compose: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let services = &compose["services"];
    let mut used = BTreeSet::new();
    for (name, service) in entries(services) {
        let strange = entries(service).map(|(key, _)| key);
        let strange = strange.filter(|key| !SERVICE_KEYS.contains(key));
        faults.extend(strange.map(|key| format!("{name}: {key} is not a key that is used here")));
        if service["image"].is_null() && service["build"].is_null() {
            faults.push(format!("{name} has neither image nor build"));
        }
        for (other, how) in entries(&service["depends_on"]) {
            let other_service = &services[other];
            let fits = match how["condition"].as_str() {
                Some("service_started") => other_service.is_object(),
                Some("service_healthy") => other_service["healthcheck"].is_object(),
                Some("service_completed_successfully") => is_one_shot(other_service),
                _ => false,
            };
            if !fits {
                faults.push(format!("{name} depends on {other} in a way that never comes true"));
            }
        }
        used.extend(taken(service));
        faults.extend(missing_files(name, service));
    }
    let declared = ["networks", "secrets", "volumes"]
        .into_iter()
        .flat_map(|kind| entries(&compose[kind]).map(move |(name, _)| (kind, name)));
    let declared: BTreeSet<_> = declared.collect();
    let difference = used.difference(&declared);
    faults.extend(difference.map(|(kind, name)| format!("{kind}: {name} is not declared")));
    let difference = declared.difference(&used);
    faults.extend(difference.map(|(kind, name)| format!("{kind}: nothing uses {name}")));
    faults
}

/// Files and folders that a service names and that aren't there.
fn missing_files(name: &str, service: &Value) -> Vec<String> {
    let folder = root().join("deploy");
    let mounted = strings(&service["volumes"])
        .filter_map(|mount| mount.split(':').next())
        .filter(|source| source.starts_with('.'))
        .map(|source| folder.join(source));
    let recipe = &service["build"];
    let recipe = recipe["context"].as_str().zip(recipe["dockerfile"].as_str());
    let recipe = recipe.map(|(context, file)| folder.join(context).join(file));
    mounted
        .chain(recipe)
        .filter(|path| !path.exists())
        .map(|path| format!("{name}: {} is not there", path.display()))
        .collect()
}

/// What a container may do or take that it need not. `drain` is how long Daybook takes to stop.
fn exposure_faults(compose: &Value, drain: Duration) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, service) in entries(&compose["services"]) {
        let grace = service["stop_grace_period"].as_str().unwrap_or_default();
        let engine = service["build"].is_null();
        let internal = |network| compose["networks"][network]["internal"] == true;
        // One without networks is in the default one, which is open.
        let enclosed =
            service["networks"].is_array() && strings(&service["networks"]).all(internal);
        let user = service["user"].as_str().unwrap_or("root");
        let checks = [
            (service["read_only"] == true, "its root can be written to"),
            (service["cap_drop"] == json!(["ALL"]), "it keeps capabilities"),
            (
                strings(&service["security_opt"]).any(|option| option == "no-new-privileges:true"),
                "it may gain privileges",
            ),
            (!matches!(user.split(':').next(), Some("root" | "0" | "")), "it runs as root"),
            (
                service["deploy"]["resources"]["limits"]["memory"].is_string(),
                "its memory has no limit",
            ),
            (service["logging"]["options"]["max-size"].is_string(), "its log has no limit"),
            (
                humantime::parse_duration(grace).is_ok_and(|grace| grace > drain),
                "it is cut off before it is done",
            ),
            (
                service["healthcheck"].is_object() || is_one_shot(service) || name == "worker",
                "nobody knows whether it is well",
            ),
            (
                !engine || service["ports"].is_null() && enclosed,
                "it is an engine that can be reached from outside",
            ),
        ];
        let failed = checks.into_iter().filter(|(holds, _)| !holds);
        faults.extend(failed.map(|(_, fault)| format!("{name}: {fault}")));
    }
    faults
}

/// A secret (a password, or a URL with one in it) is named by its file, and only who reads it gets it.
fn secret_faults(compose: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, service) in entries(&compose["services"]) {
        for (setting, value) in entries(&service["environment"]) {
            let value = value.as_str().unwrap_or_default();
            let secret = ["PASS", "SECRET", "TOKEN", "_KEY", "_URL"];
            let secret = secret.iter().any(|part| setting.contains(part)) || value.contains("://");
            if secret && !value.is_empty() && !value.starts_with("/run/secrets/") {
                faults.push(format!("{name}: {setting} is a secret in plain sight"));
            }
        }
        for secret in items(&service["secrets"]) {
            let (source, target) = match secret {
                Value::String(source) => (source.as_str(), None),
                long => (long["source"].as_str().unwrap_or_default(), long["target"].as_str()),
            };
            let path = target.map_or_else(|| format!("/run/secrets/{source}"), str::to_owned);
            // A file in conf.d is read without being named.
            let named = path.contains("/conf.d/") || service.to_string().contains(&path);
            if !named && !is_read_by_a_mounted_script(service, &path) {
                faults.push(format!("{name} gets the secret {source} and does not read it"));
            }
        }
        for (setting, value) in entries(&service["environment"]) {
            let secret = value.as_str().and_then(|value| value.strip_prefix("/run/secrets/"));
            let given = |secret| taken(service).any(|taken| taken == ("secrets", secret));
            if secret.is_some_and(|secret| !given(secret)) {
                faults.push(format!("{name}: {setting} names a secret that it does not get"));
            }
        }
    }
    faults
}

fn is_read_by_a_mounted_script(service: &Value, path: &str) -> bool {
    let folders = strings(&service["volumes"])
        .filter_map(|mount| mount.split(':').next())
        .filter(|source| source.starts_with('.'))
        .map(|source| root().join("deploy").join(source));
    let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    files.filter_map(|file| fs::read_to_string(file.path()).ok()).any(|file| file.contains(path))
}

#[test]
fn compose_files_are_whole() {
    for compose in [production(), with_mail(), development()] {
        assert!(entries(&compose["services"]).count() >= 3);
        assert_sound(&structure_faults(&compose));
    }
    assert_eq!(
        entries(&with_mail()["services"]).count(),
        entries(&production()["services"]).count(),
        "mail is sent by a service that is not there"
    );
}

#[test]
fn containers_may_do_no_more_than_they_need() {
    let known = known_settings();
    let time = |name: &str| humantime::parse_duration(known[name].as_ref().unwrap()).unwrap();
    let drain = time("DAYBOOK_SHUTDOWN_DELAY") + time("DAYBOOK_DRAIN");
    for compose in [production(), with_mail()] {
        assert_sound(&exposure_faults(&compose, drain));
        assert_sound(&secret_faults(&compose));
    }
}

#[test]
fn developers_engines_are_reached_from_their_machine_alone() {
    for (name, service) in entries(&development()["services"]) {
        assert!(!service["ports"].is_null(), "{name} can't be reached");
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is published on {port}");
        }
    }
}

#[test]
fn instances_of_the_api_find_a_port_each() {
    let compose = production();
    let port = &compose["services"]["api"]["ports"][0];
    assert_eq!(port["target"], 8080);
    assert_eq!(port["published"], "${PUBLISH_PORTS:-8080-8089}");
}

#[test]
fn compose_reads_its_files() {
    let compose = |args: &[&str]| {
        let mut command = Command::new("docker");
        let command = command.arg("compose").args(args).current_dir(root());
        command.env("DAYBOOK_MAIL_FROM", "a@example.com").stdin(Stdio::null()).output()
    };
    if !compose(&["version"]).is_ok_and(|ran| ran.status.success()) {
        eprintln!("Compose is not installed here: only the other tests looked at its files");
        return;
    }
    for files in [
        &["-f", "deploy/compose.yaml"][..],
        &["-f", "deploy/compose.yaml", "-f", "deploy/compose.mail.yaml"],
        &["-f", "deploy/compose.dev.yaml"],
    ] {
        let ran = compose(&[files, &["config", "--quiet"]].concat()).unwrap();
        assert!(ran.status.success(), "{files:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// Puts a value where the pointer says. `Null` at the end of it removes what is there.
fn plant(compose: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = compose.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        assert!(parent.remove(key).is_some(), "{pointer} is not there");
    } else {
        parent.insert(key.to_owned(), value);
    }
}

#[test]
fn planted_faults_are_found() {
    let drain = Duration::from_secs(10);
    let check = |compose: &Value| {
        [structure_faults(compose), exposure_faults(compose, drain), secret_faults(compose)]
            .concat()
            .join("\n")
    };
    let healthy = json!({"condition": "service_healthy"});
    let completed = json!({"condition": "service_completed_successfully"});
    for (pointer, value, fault) in [
        ("/services/api/container_name", json!("api"), "container_name is not a key"),
        ("/services/api/enviroment", json!({}), "enviroment is not a key"),
        ("/services/redis/image", Value::Null, "redis has neither"),
        ("/services/api/depends_on/mysql", healthy.clone(), "api depends on mysql"),
        ("/services/api/depends_on/worker", healthy, "api depends on worker"),
        ("/services/api/depends_on/redis", completed, "api depends on redis"),
        ("/services/api/depends_on/redis", json!({}), "api depends on redis"),
        ("/services/api/secrets", json!(["other"]), "secrets: other is not declared"),
        ("/services/redis/networks", json!(["other"]), "networks: other is not declared"),
        ("/services/redis/volumes", json!(["other:/data"]), "volumes: other is not declared"),
        ("/services/redis/volumes", json!(["./other:/data:ro"]), "other is not there"),
        ("/services/api/build/dockerfile", json!("Dockerfile"), "Dockerfile is not there"),
        ("/secrets/other", json!({"file": "./x"}), "secrets: nothing uses other"),
        ("/networks/other", json!({}), "networks: nothing uses other"),
        ("/services/rabbitmq/volumes", Value::Null, "volumes: nothing uses rabbitmq"),
        ("/services/api/read_only", Value::Null, "api: its root can be written to"),
        ("/services/api/cap_drop", json!(["NET_RAW"]), "api: it keeps capabilities"),
        ("/services/api/security_opt", json!([]), "api: it may gain privileges"),
        ("/services/api/user", Value::Null, "api: it runs as root"),
        ("/services/api/user", json!("0:0"), "api: it runs as root"),
        ("/services/redis/deploy/resources/limits/memory", Value::Null, "redis: its memory"),
        ("/services/redis/logging/options", json!({}), "redis: its log"),
        ("/services/api/stop_grace_period", json!("10s"), "api: it is cut off"),
        ("/services/api/healthcheck", Value::Null, "api: nobody knows"),
        ("/services/redis/ports", json!(["6379:6379"]), "redis: it is an engine"),
        ("/services/redis/networks", json!(["front"]), "redis: it is an engine"),
        ("/services/redis/networks", Value::Null, "redis: it is an engine"),
        ("/networks/back/internal", json!(false), "postgres: it is an engine"),
        ("/services/api/environment/REDIS_URL", json!("redis://redis"), "REDIS_URL is a secret"),
        ("/services/postgres/environment/POSTGRES_PASSWORD", json!("x"), "is a secret in plain"),
        ("/services/worker/environment/X_FILE", json!("/run/secrets/signing_key"), "X_FILE names"),
        ("/services/worker/secrets", json!(["signing_key"]), "gets the secret signing_key and"),
    ] {
        let mut compose = production();
        plant(&mut compose, pointer, value);
        let found = check(&compose);
        assert!(found.contains(fault), "{pointer}: {fault:?} was not found, only {found:?}");
    }
}
