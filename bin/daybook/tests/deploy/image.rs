//! The image: built from what is there, pinned, not as root.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::{assert_sound, root, text};

/// The instructions of a Containerfile: name and arguments.
fn instructions(containerfile: &str) -> Vec<(String, String)> {
    let lines = containerfile.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter_map(|line| line.trim().split_once(' '));
    instructions.map(|(name, args)| (name.to_owned(), args.trim().to_owned())).collect()
}

/// Whether an image is named in full, with a tag that stays what it is, or a digest.
fn is_pinned(image: &str) -> bool {
    let (path, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    path.contains('.') && path.contains('/') && tag != "latest" && !tag.contains('/')
}

/// What is wrong with a Containerfile. `lets_in` tells whether a path gets into the build.
fn image_faults(containerfile: &str, lets_in: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut stages = BTreeSet::new();
    let mut last = BTreeMap::new();
    for (name, args) in instructions(containerfile) {
        let words: Vec<_> =
            args.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        match (name.as_str(), words.as_slice()) {
            ("FROM", [image, rest @ ..]) => {
                if !stages.contains(*image) && !is_pinned(image) {
                    faults.push(format!("{image} is not pinned"));
                }
                stages.extend(rest.last().map(|stage| (*stage).to_owned()));
                last.clear();
            }
            ("COPY", [sources @ .., _]) => {
                match args.split_whitespace().find_map(|word| word.strip_prefix("--from=")) {
                    Some(stage) if !stages.contains(stage) => {
                        faults.push(format!("there is no stage {stage} to copy from"));
                    }
                    Some(_) => {}
                    None => faults.extend(
                        sources
                            .iter()
                            .filter(|source| !root().join(source).exists() || !lets_in(source))
                            .map(|source| format!("{source} is not there to be copied")),
                    ),
                }
            }
            ("ADD", _) => {
                faults.push(format!("ADD {args}: COPY fetches nothing and unpacks nothing"));
            }
            ("ARG" | "ENV", [setting, ..])
                if ["PASS", "SECRET", "TOKEN", "_KEY"]
                    .iter()
                    .any(|part| setting.contains(part)) =>
            {
                faults.push(format!("{setting} would be a secret in a layer"));
            }
            _ => {}
        }
        last.insert(name, args);
    }
    let user = last.get("USER").map(String::as_str).unwrap_or_default();
    let number = user.split(':').next().and_then(|number| number.parse::<u32>().ok());
    if number.is_none_or(|number| number == 0) {
        faults.push("the last stage does not run as a user with a number that isn't 0".to_owned());
    }
    if last.get("ENTRYPOINT").map(String::as_str) != Some(r#"["/daybook"]"#) {
        faults.push("the last stage does not start the binary itself".to_owned());
    }
    faults
}

/// The first parts of the paths that `.dockerignore` lets into a build.
fn let_in(ignore: &str) -> BTreeSet<&str> {
    let mut lines = ignore.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "all is left out but what is named");
    lines.filter_map(|line| line.strip_prefix('!')).collect()
}

fn workspace() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

#[test]
fn the_image_is_built_from_what_is_there() {
    let ignore = text(".dockerignore");
    let named = let_in(&ignore);
    let lets_in = |path: &str| path == "." || named.contains(path.split('/').next().unwrap());
    assert_sound(&image_faults(&text("deploy/Containerfile"), lets_in));

    let metadata = workspace();
    let mut needed = BTreeSet::from(["Cargo.toml", "Cargo.lock", "LICENSE"]);
    for package in &metadata.packages {
        let folder = package.manifest_path.strip_prefix(&metadata.workspace_root).unwrap();
        needed.insert(folder.components().next().unwrap().as_str());
    }
    assert_eq!(named, needed);
}

#[test]
fn the_image_is_built_by_the_compiler_that_the_workspace_asks_for() {
    let metadata = workspace();
    let version =
        metadata.packages.iter().find_map(|package| package.rust_version.clone()).unwrap();
    let expected = format!("docker.io/library/rust:{}.{}-", version.major, version.minor);
    let base = instructions(&text("deploy/Containerfile")).into_iter().next().unwrap();
    assert!(base.1.starts_with(&expected), "{base:?} is not {expected}");
}

#[test]
fn faults_in_an_image_are_found() {
    let good = "# Words.\nFROM a.io/rust:1.95 AS build\nCOPY . .\nRUN cargo \\\n    build\n\
                FROM b.io/c@sha256:0f\nCOPY LICENSE /\nCOPY --from=build /x /daybook\n\
                USER 65532:65532\nENTRYPOINT [\"/daybook\"]\n";
    let lets_in = |path: &str| matches!(path, "." | "LICENSE");
    assert_eq!(image_faults(good, lets_in), [""; 0]);
    for (text, replacement, fault) in [
        ("a.io/rust:1.95", "a.io/rust", "a.io/rust is not pinned"),
        ("a.io/rust:1.95", "a.io/rust:latest", "a.io/rust:latest is not pinned"),
        ("a.io/rust:1.95", "a.io:5000/rust", "a.io:5000/rust is not pinned"),
        ("a.io/rust:1.95", "rust:1.95", "rust:1.95 is not pinned"),
        ("LICENSE /", "LICENCE /", "LICENCE is not there"),
        ("LICENSE /", "Cargo.toml /", "Cargo.toml is not there"),
        ("--from=build", "--from=plan", "no stage plan"),
        ("COPY LICENSE", "ADD https://a.io/x", "ADD https://a.io/x"),
        ("RUN", "ENV DAYBOOK_TOKEN=x\nRUN", "DAYBOOK_TOKEN=x would be a secret"),
        ("USER 65532:65532", "USER nonroot", "does not run as a user"),
        ("USER 65532:65532", "USER 0", "does not run as a user"),
        ("USER 65532:65532\n", "", "does not run as a user"),
        ("[\"/daybook\"]", "/daybook", "does not start the binary"),
    ] {
        assert!(good.contains(text), "{text:?} is not in the sample");
        let found = image_faults(&good.replace(text, replacement), lets_in).join("\n");
        assert!(found.contains(fault), "{fault:?} was not found, only {found:?}");
    }
}
