//! No header or query parameter of any operation is passed over or read in part: the document says which
//! there are.

use crate::support::{Client, Folder, Operation, Parameter, Reply, Server, operations};

const NOTHING: &str = "01900000-0000-7000-8000-000000000000";

/// What comes of a request with this header as often as there are values.
fn with_header(client: &Client, operation: &Operation, name: &str, values: &[&[u8]]) -> Reply {
    let mut ask = client.ask(&operation.method, &operation.path_with(NOTHING));
    for value in values {
        ask = ask.raw_header(name, value);
    }
    ask.send()
}

fn with_query(client: &Client, operation: &Operation, query: &str) -> Reply {
    let path = format!("{}?{query}", operation.path_with(NOTHING));
    client.ask(&operation.method, &path).send()
}

#[test]
fn every_parameter_is_read_whole_or_refused_and_a_token_is_asked_for_first() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (ada, nobody) = (server.register("ada@example.com"), server.client());
    let before = ada.events();
    let (mut headers, mut queries) = (0, 0);
    for operation in operations(&nobody) {
        let refused = |name: &str, ask: &dyn Fn(&Client) -> Reply| {
            let title = format!("{} {name}", operation.title());
            let said = ask(&ada).problem(400).text("detail").to_ascii_lowercase();
            assert!(said.starts_with(&name.to_ascii_lowercase()), "{title}: {said}");
            ask(&nobody).problem(if operation.needs_token() { 401 } else { 400 });
        };
        for Parameter { name, place, is_list } in operation.parameters() {
            match place.as_str() {
                "header" => {
                    let latin = b"gr\xf6\xdfe-1".as_slice();
                    for values in [
                        &["größe-1".as_bytes()][..],
                        &[latin],
                        &[b"1", b"2"],
                        &[b"1", b"1"],
                        &[b""],
                    ] {
                        let ask = |client: &Client| with_header(client, &operation, &name, values);
                        refused(&name, &ask);
                    }
                    headers += 1;
                }
                "query" => {
                    let mut bad = vec![format!("{name}=%zz"), format!("{name}=%ff")];
                    if !is_list {
                        bad.push(format!("{name}=1&{name}=2"));
                        bad.push(format!("{name}=1&{name}=1"));
                    }
                    for query in bad {
                        refused(&name, &|client| with_query(client, &operation, &query));
                        // Whoever asks for the head alone is told the same.
                        if operation.method == "GET" {
                            let path = format!("{}?{query}", operation.path_with(NOTHING));
                            assert_eq!(ada.ask("HEAD", &path).send().status, 400, "HEAD {path}");
                        }
                    }
                    queries += 1;
                }
                place => assert_eq!(place, "path", "{}", operation.title()),
            }
        }
        // The service's own, which no operation declares.
        for (name, values) in [
            ("traceparent", &["größe".as_bytes()][..]),
            ("X-Request-Id", &[b"1", b"2"]),
            ("Content-Type", &[b"application/json", b"text/plain"]),
        ] {
            let said = with_header(&ada, &operation, name, values).problem(400).text("detail");
            assert!(said.to_lowercase().starts_with(&name.to_lowercase()), "{said}");
        }
    }
    assert!(headers >= 20 && queries >= 15, "{headers} headers and {queries} query parameters");
    assert_eq!(ada.events(), before);
}
