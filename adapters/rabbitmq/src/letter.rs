//! A message on its way out.

use amqprs::BasicProperties;

use crate::topology::Route;

/// A message on its way out.
#[derive(Clone)]
pub(crate) struct Letter {
    pub route: Route,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}
