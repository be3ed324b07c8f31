//! What may stand in the URL of a database.

/// What the client reads after the `?`, each once. Not the name of the application and the size of
/// the statement cache, which Daybook sets itself.
const KNOWN: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
    "options[",
];

/// Refuses what the client would leave unread, so that no other schema or server is used than was
/// meant. What is answered is for people, and repeats nothing of the URL: it may hold a password.
pub(super) fn check(url: &str) -> Result<(), &'static str> {
    if url.contains('#') {
        return Err("it has a #, and what follows would not be read: write it as %23");
    }
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut seen: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        let name = name.replace("%5B", "[").replace("%5D", "]");
        let kind = match name.split_once('[') {
            Some((_, setting)) if !setting.ends_with(']') => "",
            Some(("options", _)) => "options[",
            Some(_) => "",
            None => &name,
        };
        if matches!(kind, "search_path" | "currentSchema" | "schema") {
            return Err("a schema is not named that way: write ?options=-c%20search_path%3Dname");
        }
        if !KNOWN.contains(&kind) {
            return Err(
                "it has a parameter that is not known: those of libpq for the server, the \
                 login and TLS are, such as sslmode, and settings of a session as in \
                 ?options=-c%20search_path%3Dname",
            );
        }
        let name = match kind {
            "ssl-mode" => "sslmode".to_owned(),
            "ssl-root-cert" | "ssl-ca" => "sslrootcert".to_owned(),
            "ssl-cert" => "sslcert".to_owned(),
            "ssl-key" => "sslkey".to_owned(),
            _ => name,
        };
        if seen.contains(&name) {
            return Err("a parameter is given twice");
        }
        seen.push(name);
    }
    overridden(address, &seen)
}

/// A part that is given before the `?` and after it.
fn overridden(address: &str, parameters: &[String]) -> Result<(), &'static str> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let port = place.rsplit(']').next().is_some_and(|after| after.contains(':'));
    let given = [
        ("host", !place.is_empty()),
        ("hostaddr", !place.is_empty()),
        ("port", port),
        ("dbname", !path.is_empty()),
        ("user", !login.is_empty()),
        ("password", login.contains(':')),
    ];
    let twice = given.iter().any(|(name, given)| *given && parameters.iter().any(|p| p == name));
    if twice {
        Err("a part is given in the address and as a parameter: leave one out")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_reads_is_taken() {
        for url in [
            "postgres://u:p@h:5432/d",
            "postgres://u:p@h/d?sslmode=verify-full&sslrootcert=/a.pem",
            "postgres://h/d?options=-c%20search_path%3Dx",
            "postgres://h/d?options[search_path]=x&options%5Bwork_mem%5D=1MB",
            "postgres:///d?host=/run/postgresql&port=5433&user=u&password=p",
            "postgres://u@[::1]/d?",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn what_it_would_leave_unread_is_refused_with_what_to_write() {
        for name in ["search_path", "currentSchema", "schema"] {
            let error =
                check(&format!("postgres://u:hidden@h/d?sslmode=prefer&{name}=x")).unwrap_err();
            assert!(error.contains("?options=-c%20search_path%3Dname"), "{error}");
        }
        for url in [
            "postgres://h/d?connect_timeout=5",
            "postgres://h/d?SSLMODE=require",
            "postgres://h/d?application_name=x",
            "postgres://h/d?statement-cache-capacity=5",
            "postgres://h/d?sslmode=require&ssl-mode=disable",
            "postgres://h/d?sslrootcert=/a&ssl-ca=/b",
            "postgres://h/d?target_session_attrs=read-write",
            "postgres://h/d?pool_max_conns=5",
            "postgres://h/d?x[y]=1",
            "postgres://h/d?options[y=1",
            "postgres://h/d?sslmode=require&sslmode=disable",
            "postgres://h/d?options[a]=1&options%5Ba%5D=2",
            "postgres://h/d#x",
            "postgres://h/d?host=other",
            "postgres://u@h:1/d?port=2",
            "postgres://u@h/d?user=v",
            "postgres://h/d?dbname=e",
            "postgres://u:hidden@h/?password=x",
        ] {
            let error = check(url).unwrap_err();
            assert!(!error.contains("hidden"), "{url}: {error}");
        }
    }
}
