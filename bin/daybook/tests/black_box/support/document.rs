//! The OpenAPI document, as far as tests walk through it.

use serde_json::Value;

use super::Client;

/// An operation of the document.
pub(crate) struct Operation {
    /// Its method, in capitals.
    pub(crate) method: String,
    /// Its path, with the names of its parameters in braces.
    pub(crate) path: String,
    document: Value,
    schema: Option<Value>,
}

/// A parameter of an operation.
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: String,
    /// `header`, `query` or `path`.
    pub(crate) place: String,
    /// Whether it may be given several times.
    pub(crate) is_list: bool,
}

/// Every operation that the server says it has.
#[track_caller]
pub(crate) fn operations(client: &Client) -> Vec<Operation> {
    let document = client.get("/openapi.json").expect(200).json();
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(|(method, operation)| Operation {
            method: method.to_uppercase(),
            path: path.clone(),
            document: operation.clone(),
            schema: schema_of(&document, operation),
        })
    });
    let all: Vec<_> = all.collect();
    assert!(all.len() >= 30, "the document has {} operations only", all.len());
    all
}

fn schema_of(document: &Value, operation: &Value) -> Option<Value> {
    let schema = operation.pointer("/requestBody/content/application~1json/schema")?;
    Some(resolved(document, schema))
}

/// The schema itself, where another place is named, down to the items of lists.
fn resolved(document: &Value, schema: &Value) -> Value {
    let named = schema["$ref"].as_str().or_else(|| schema.pointer("/allOf/0/$ref")?.as_str());
    let mut schema = match named {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap().clone(),
        None => schema.clone(),
    };
    if schema.get("items").is_some() {
        schema["items"] = resolved(document, &schema["items"]);
    }
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (_, field) in fields.into_iter().flatten() {
        *field = resolved(document, field);
    }
    schema
}

impl Operation {
    /// Its path with this in the place of each of its parameters.
    pub(crate) fn path_with(&self, id: &str) -> String {
        let segments = self.path.split('/');
        let filled = segments.map(|segment| if segment.starts_with('{') { id } else { segment });
        filled.collect::<Vec<_>>().join("/")
    }

    /// What it takes besides its body.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let parameters = self.document["parameters"].as_array().into_iter().flatten();
        let read = |parameter: &Value| Parameter {
            name: parameter["name"].as_str().unwrap().to_owned(),
            place: parameter["in"].as_str().unwrap().to_owned(),
            is_list: parameter["schema"]["type"] == "array",
        };
        parameters.map(read).collect()
    }

    /// Whether it asks for a token.
    pub(crate) fn needs_token(&self) -> bool {
        self.document.get("security").is_some()
    }

    /// The schema of its body, where it takes one.
    pub(crate) fn schema(&self) -> Option<&Value> {
        self.schema.as_ref()
    }

    /// Its method and path.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}
