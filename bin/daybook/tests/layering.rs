//! The layers of the workspace: which package may depend on which, and what the domain may use
//! from outside.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// What domain crates may use from outside: no input or output, no runtime, no SQL, no HTTP.
const ALLOWED_IN_THE_DOMAIN: [&str; 15] = [
    "async-trait",
    "bytes",
    "email_address",
    "futures-util",
    "icu_properties",
    "iso_currency",
    "mockall",
    "precis-profiles",
    "serde",
    "serde_json",
    "thiserror",
    "time",
    "unicode-normalization",
    "uuid",
    "zxcvbn",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Money,
    Events,
    Aggregate,
    Application,
    Migrations,
    Database,
    Adapter,
    Bin,
}

impl Layer {
    /// The layer of the package in this folder, seen from the workspace.
    fn of(folder: &str) -> Option<Self> {
        match folder.split_once('/') {
            Some(("domain", "money")) => Some(Self::Money),
            Some(("domain", "events")) => Some(Self::Events),
            Some(("domain", _)) => Some(Self::Aggregate),
            Some(("adapters", "database")) => Some(Self::Database),
            Some(("adapters", _)) => Some(Self::Adapter),
            Some(("bin", _)) => Some(Self::Bin),
            None if folder == "application" => Some(Self::Application),
            None if folder == "migrations" => Some(Self::Migrations),
            _ => None,
        }
    }

    const fn is_domain(self) -> bool {
        matches!(self, Self::Money | Self::Events | Self::Aggregate)
    }

    /// Whether a package of this layer may depend on another package of that layer.
    const fn may_depend_on(self, other: Self) -> bool {
        match self {
            Self::Money | Self::Migrations => false,
            Self::Events => matches!(other, Self::Money),
            Self::Aggregate => matches!(other, Self::Money | Self::Events),
            Self::Application => other.is_domain(),
            Self::Adapter => other.is_domain() || matches!(other, Self::Application),
            Self::Database => {
                other.is_domain() || matches!(other, Self::Application | Self::Migrations)
            }
            Self::Bin => true,
        }
    }
}

/// What is wrong with a dependency between two packages of the workspace, by their folders.
fn fault(from: &str, to: &str) -> Option<String> {
    let (Some(lower), Some(upper)) = (Layer::of(to), Layer::of(from)) else {
        return Some(format!("{from} → {to}: one of them is in no known layer"));
    };
    (!upper.may_depend_on(lower)).then(|| format!("{from} must not depend on {to}"))
}

/// What is wrong with a dependency of the package in this folder on a crate from outside.
fn fault_outside(from: &str, krate: &str) -> Option<String> {
    let domain = Layer::of(from).is_some_and(Layer::is_domain);
    let allowed = !domain || ALLOWED_IN_THE_DOMAIN.contains(&krate);
    (!allowed).then(|| format!("{from} uses {krate}, which the domain may not"))
}

fn workspace() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap()
}

/// The workspace's packages: name and folder.
fn folders(metadata: &Metadata) -> BTreeMap<&str, String> {
    metadata
        .packages
        .iter()
        .map(|package| {
            let folder = package.manifest_path.parent().unwrap();
            let folder = folder.strip_prefix(&metadata.workspace_root).unwrap();
            (package.name.as_str(), folder.to_string().replace('\\', "/"))
        })
        .collect()
}

#[test]
fn every_dependency_is_one_the_layers_allow() {
    let metadata = workspace();
    let folders = folders(&metadata);
    let mut faults = Vec::new();
    let mut inside = 0;
    for package in &metadata.packages {
        let from = folders.get(package.name.as_str()).unwrap();
        if Layer::of(from).is_none() {
            faults.push(format!("{from} is in no known layer"));
        }
        for dependency in &package.dependencies {
            if dependency.kind == DependencyKind::Development {
                continue;
            }
            match folders.get(dependency.name.as_str()) {
                Some(to) => {
                    inside += 1;
                    faults.extend(fault(from, to));
                }
                None => faults.extend(fault_outside(from, &dependency.name)),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(inside > 20, "only {inside} dependencies inside the workspace were seen");
}

#[test]
fn the_layers_refuse_what_they_should() {
    for (from, to) in [
        ("domain/money", "domain/events"),
        ("domain/events", "domain/accounts"),
        ("domain/accounts", "domain/orders"),
        ("domain/orders", "application"),
        ("domain/orders", "adapters/database"),
        ("domain/orders", "migrations"),
        ("application", "adapters/memory"),
        ("application", "migrations"),
        ("application", "bin/daybook"),
        ("adapters/http", "adapters/database"),
        ("adapters/database", "adapters/memory"),
        ("adapters/http", "migrations"),
        ("adapters/http", "bin/daybook"),
        ("migrations", "domain/money"),
        ("migrations", "application"),
        ("elsewhere", "domain/money"),
        ("application", "elsewhere/else"),
    ] {
        assert!(fault(from, to).is_some(), "{from} → {to} was allowed");
    }
}

#[test]
fn the_layers_allow_what_they_should() {
    for (from, to) in [
        ("domain/accounts", "domain/events"),
        ("domain/orders", "domain/money"),
        ("application", "domain/orders"),
        ("adapters/http", "application"),
        ("adapters/http", "domain/money"),
        ("adapters/database", "migrations"),
        ("bin/daybook", "adapters/http"),
        ("bin/daybook", "domain/events"),
    ] {
        assert_eq!(fault(from, to), None);
    }
}

#[test]
fn the_domain_uses_nothing_that_reaches_outside() {
    for krate in ["tokio", "sea-orm", "poem", "reqwest", "rusqlite"] {
        assert!(fault_outside("domain/orders", krate).is_some(), "{krate} was allowed");
        assert_eq!(fault_outside("adapters/http", krate), None);
    }
    assert_eq!(fault_outside("domain/orders", "uuid"), None);
}
