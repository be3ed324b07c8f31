//! The fault suite: what Daybook runs on is killed, cut off, stopped and filled up, by the hundred,
//! and it is looked whether its promises hold.
//!
//! A [`run::Trial`] is one kind of fault. A [`site::Site`] is an installation with processes and
//! servers of its own, a [`crowd::Crowd`] the clients that use it meanwhile; [`linearisable::check`]
//! judges what they were told. [`planted`] has faults that the suite must find, so that it is seen to be able to.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

pub mod check;
pub mod client;
pub mod crowd;
pub mod error;
pub mod leftovers;
pub mod linearisable;
pub mod listener;
mod money;
pub mod planted;
pub mod run;
pub mod site;
mod subscriber;
pub mod trials;
