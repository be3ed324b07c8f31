//! RabbitMQ, started and hurt.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod processes;
mod wire;

use std::io;
use std::net::{Ipv4Addr, TcpStream};

use daybook_services::RabbitMq;

use crate::processes::{processes_of, runs, until};
use crate::wire::{SOON, WHILE, ask};

/// Whether the first answer is the method `connection.start`.
fn answers(rabbitmq: &RabbitMq) -> bool {
    let answer = ask(rabbitmq.port(), b"AMQP\0\0\x09\x01", SOON).unwrap();
    answer.get(..3) == Some(&[1, 0, 0]) && answer.get(7..11) == Some(&[0, 10, 0, 10])
}

// In one, because it takes seconds to start.
#[test]
fn answers_can_be_hurt_and_leaves_nothing() {
    let rabbitmq = RabbitMq::start_with(&["heartbeat = 7"]).unwrap();
    assert_eq!(rabbitmq.url(), format!("amqp://guest:guest@127.0.0.1:{}/%2f", rabbitmq.port()));
    assert!(answers(&rabbitmq));

    rabbitmq.pause().unwrap();
    assert!(ask(rabbitmq.port(), b"AMQP\0\0\x09\x01", WHILE).is_err());
    rabbitmq.resume().unwrap();
    assert!(answers(&rabbitmq));

    rabbitmq.control(&["set_policy", "short", "^any$", "{\"max-length\":1}"]).unwrap();
    assert!(rabbitmq.control(&["list_policies"]).unwrap().contains("^any$"));
    let refused = rabbitmq.control(&["purge_queue", "none"]).unwrap_err().to_string();
    assert!(refused.starts_with("rabbitmqctl failed"), "{refused}");

    rabbitmq.kill().unwrap();
    assert_eq!(rabbitmq.pid().unwrap(), None);
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, rabbitmq.port())).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    rabbitmq.restart().unwrap();
    assert!(answers(&rabbitmq));

    rabbitmq.stop().unwrap();
    assert_eq!(rabbitmq.pid().unwrap(), None);
    rabbitmq.restart().unwrap();
    assert!(answers(&rabbitmq));

    let (pid, folder) = (rabbitmq.pid().unwrap().unwrap(), rabbitmq.folder().to_path_buf());
    assert!(runs(pid) && folder.exists());
    drop(rabbitmq);
    assert!(!runs(pid) && !folder.exists());
    until("its processes end", || processes_of(&folder).is_empty());
}

#[test]
fn a_setting_that_is_refused_is_told() {
    let error = RabbitMq::start_with(&["no_such_setting = 1"]).err().unwrap().to_string();
    assert!(
        error.starts_with("RabbitMQ ended at once") && error.contains("no_such_setting"),
        "{error}"
    );
}
