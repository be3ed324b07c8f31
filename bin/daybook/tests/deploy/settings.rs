//! Settings that are named outside the binary are ones that it knows, and the example has them all.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use crate::{assert_sound, text};

/// Every setting that the commands' help names, with its default where it has one.
fn settings_of(help: &str) -> BTreeMap<String, Option<String>> {
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let settings = help.split("[env: ").skip(1).filter_map(|after| {
        let (name, after) = after.split_once(']')?;
        let default = after.trim_start().strip_prefix("[default: ");
        let default = default.and_then(|default| default.split(']').next());
        Some((
            name.trim_end_matches('=').to_owned(),
            default.map(|default| default.trim_matches('"').to_owned()),
        ))
    });
    settings.collect()
}

pub(crate) fn known_settings() -> BTreeMap<String, Option<String>> {
    let help = |command| {
        let mut daybook = Command::new(env!("CARGO_BIN_EXE_daybook"));
        let ran = daybook.args([command, "--help"]).env_clear().stdin(Stdio::null());
        let ran = ran.output().unwrap();
        assert!(ran.status.success(), "{command}: {ran:?}");
        settings_of(&String::from_utf8(ran.stdout).unwrap())
    };
    let known: BTreeMap<_, _> = ["serve", "worker", "migrate"].into_iter().flat_map(help).collect();
    assert!(known.len() > 20, "only {known:?} was read from the help");
    known
}

/// The settings of Daybook that a text names.
fn settings_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| !word.chars().any(|c| c.is_ascii_lowercase()))
        .filter(|word| {
            word.strip_prefix("DAYBOOK_").is_some_and(|rest| !rest.is_empty())
                || word.ends_with("_URL")
                || word.ends_with("_URL_FILE")
                || word.ends_with("_ADDR")
        })
        .collect()
}

fn unknown_settings(text: &str, known: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let unknown = settings_in(text).into_iter().filter(|name| !known.contains_key(*name));
    unknown.map(|name| format!("no command knows {name}")).collect()
}

/// What is wrong with the example of an environment.
fn example_faults(example: &str, known: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let mut faults = unknown_settings(example, known);
    let mut shown = BTreeMap::new();
    let mut before = "";
    for line in example.lines() {
        let setting = line.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic));
        if let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) {
            if !before.starts_with("# ") {
                faults.push(format!("{name} stands without a comment"));
            }
            if shown.insert(name.to_owned(), value.trim_matches('"').to_owned()).is_some() {
                faults.push(format!("{name} stands there twice"));
            }
        } else if !line.is_empty() && line != "#" && !line.starts_with("# ") {
            faults.push(format!("neither a comment nor a setting: {line}"));
        }
        before = line;
    }
    for (name, default) in known {
        match (shown.get(name), default) {
            (None, _) => faults.push(format!("{name} is missing")),
            (Some(value), Some(default)) if value != default => {
                faults.push(format!("{name} is {default} where nothing is set, and not {value}"));
            }
            _ => {}
        }
    }
    faults
}

#[test]
fn the_example_of_an_environment_is_complete_and_right() {
    assert_sound(&example_faults(&text(".env.example"), &known_settings()));
}

#[test]
fn deployments_use_settings_that_there_are() {
    let known = known_settings();
    for file in [
        "compose.yaml",
        "compose.mail.yaml",
        "compose.dev.yaml",
        "Containerfile",
        "daybook.service",
        "README.md",
    ] {
        let text = text(&format!("deploy/{file}"));
        assert!(!settings_in(&text).is_empty(), "{file} names no setting");
        let faults = unknown_settings(&text, &known);
        assert!(faults.is_empty(), "{file}: {}", faults.join("\n"));
    }
}

#[test]
fn faults_in_settings_are_found() {
    let help =
        "--a <A> What [env: DAYBOOK_A=] [default: \"Day <b@c>\"] --b [env:\n DATABASE_URL] [x]";
    let known = settings_of(help);
    let expected = [("DAYBOOK_A", Some("Day <b@c>")), ("DATABASE_URL", None)];
    let expected = expected.map(|(name, default)| (name.to_owned(), default.map(str::to_owned)));
    assert_eq!(known, BTreeMap::from(expected));

    let good = "# Words.\n\n# A\n#DAYBOOK_A=\"Day <b@c>\"\n# B\n#DATABASE_URL=x\n";
    assert_eq!(example_faults(good, &known), [""; 0]);
    for (text, replacement, fault) in [
        ("#DATABASE_URL=x", "#", "DATABASE_URL is missing"),
        ("# B\n", "# B\n#DAYBOOK_C=1\n# D\n", "no command knows DAYBOOK_C"),
        ("# B\n", "# As DAYBOOK_C\n", "no command knows DAYBOOK_C"),
        ("Day <", "Night <", "DAYBOOK_A is Day <b@c> where nothing is set"),
        ("#DATABASE_URL", "DATABASE_URL", "neither a comment nor a setting"),
        ("# B\n", "", "DATABASE_URL stands without a comment"),
        ("# B\n", "# B\n#DATABASE_URL=y\n# B\n", "DATABASE_URL stands there twice"),
    ] {
        let found = example_faults(&good.replace(text, replacement), &known).join("\n");
        assert!(found.contains(fault), "{fault:?} was not found, only {found:?}");
    }
    let unknown = "A_URL_FILE, b DAYBOOK_A and ${DAYBOOK_B:-1} of DAYBOOK_; POSTGRES_USER";
    assert_eq!(
        unknown_settings(unknown, &known),
        ["no command knows A_URL_FILE", "no command knows DAYBOOK_B"]
    );
}
