//! A message on its way out.

use amqprs::BasicProperties;

use crate::topology::Route;

/// A message on its way out.
#[derive(Clone)]
pub(crate) struct Letter {
    pub route: Route,
    /// Whether the task is in the record: then it is sent with the mark of the installation.
    pub recorded: bool,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

impl Letter {
    /// A message to nobody, which tells whether the broker takes any.
    pub(crate) fn trial() -> Self {
        let properties = BasicProperties::default();
        Self { route: Route::Nowhere, recorded: false, properties, body: Vec::new() }
    }
}
