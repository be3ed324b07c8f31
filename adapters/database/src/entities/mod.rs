//! The tables, as sea-orm sees them.

pub(crate) mod account;
pub(crate) mod checkpoint;
pub(crate) mod ended_session;
pub(crate) mod event;
pub(crate) mod holder;
pub(crate) mod installation;
pub(crate) mod order;
pub(crate) mod outcome;
pub(crate) mod posting;
pub(crate) mod task;
