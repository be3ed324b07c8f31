//! What can be wrong with the broker, in words for whoever runs it.

use daybook_events::QueueError;
use thiserror::Error;

/// What is wrong with the broker: one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    #[error(
        "the RabbitMQ broker that AMQP_URL names can't be reached ({0}); see that it runs and that \
         the address is right"
    )]
    Unreachable(String),
    #[error("the RabbitMQ broker refused the user name or password in AMQP_URL; correct them")]
    Login,
    #[error(
        "the RabbitMQ broker has no virtual host as AMQP_URL names it, or its user may not use it; \
         correct the part after the host, or add the virtual host and the permission"
    )]
    VirtualHost,
    #[error(
        "the queue {0} on the RabbitMQ broker that AMQP_URL names was declared with other \
         arguments or durability; delete it there once it is empty, or name another virtual host \
         in AMQP_URL"
    )]
    Differs(String),
    #[error(
        "the user in AMQP_URL may not use the queue {0} on the RabbitMQ broker; permit it to \
         configure, write and read it and the queues whose names begin so, and to write to the \
         exchange amq.default"
    )]
    Forbidden(String),
    #[error(
        "the user in AMQP_URL may not publish on the RabbitMQ broker; permit it to write to the \
         exchange amq.default"
    )]
    MayNotWrite,
    #[error("the connection to the RabbitMQ broker that AMQP_URL names was lost ({0})")]
    Lost(String),
    #[error(
        "the RabbitMQ broker that AMQP_URL names did not confirm in time; see whether an alarm for \
         memory or disk holds it up (rabbitmq-diagnostics alarms)"
    )]
    Unconfirmed,
    #[error(
        "the RabbitMQ broker that AMQP_URL names refuses messages; see whether a queue is at its \
         length limit with overflow reject-publish, or its disk is full"
    )]
    Refused,
    #[error("the connection to the RabbitMQ broker was closed by this process")]
    Closed,
}

impl Fault {
    /// Whether waiting is no help.
    pub(crate) const fn is_permanent(&self) -> bool {
        match self {
            Self::Login
            | Self::VirtualHost
            | Self::Differs(_)
            | Self::Forbidden(_)
            | Self::MayNotWrite
            | Self::Closed => true,
            Self::Unreachable(_) | Self::Lost(_) | Self::Unconfirmed | Self::Refused => false,
        }
    }
}

impl From<Fault> for QueueError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.to_string())
    }
}
