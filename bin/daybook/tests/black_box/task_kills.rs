//! Killed at each step of a task, it is done all the same, and its outcome is recorded once.
//!
//! The task is a mail, an effect outside of Daybook: it comes at least once, and twice only where the
//! sender died between sending and noting it. Then both have the same Message-ID.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::engines::Engines;
use crate::support::{Client, Folder, Hold, MailServer, Server, eventually};

/// The queues that these engines have: RabbitMQ where there is one, and the database.
fn queues() -> Vec<Option<(&'static str, &'static str)>> {
    if Engines::WORKERS == 0 { vec![None] } else { vec![None, Some(("AMQP_URL", ""))] }
}

struct Setting {
    folder: Folder,
    mails: MailServer,
    queue: Option<(&'static str, &'static str)>,
    server: Server,
    client: Client,
}

impl Setting {
    fn new(queue: Option<(&'static str, &'static str)>, hold: Option<Hold>) -> Self {
        let (folder, mails) = (Folder::new(), MailServer::start(hold));
        let server = start(&folder, &mails, queue);
        let client = server.register("ada@example.com");
        Self { folder, mails, queue, server, client }
    }

    fn send(&self) -> String {
        let mail = json!({ "to": "ada@example.com", "subject": "Hello", "text": "How are you?" });
        let task = json!({ "kind": "send_email", "payload": mail });
        self.client.post("/tasks", &task).written(202).text("task_id")
    }

    fn task(&self, id: &str) -> Value {
        self.client.get(&format!("/tasks/{id}")).expect(200).json()
    }

    /// Cuts the power, lets mails go through, and starts again.
    fn kill(mut self) -> Self {
        self.server.kill();
        self.mails.go_on();
        self.server = start(&self.folder, &self.mails, self.queue);
        self.client = self.client.at(&self.server.client());
        self
    }

    /// Waits until the task is done, and says after how many attempts and failures.
    #[track_caller]
    fn done(&self, id: &str) -> (u64, usize) {
        let done = eventually("the mail is sent", || {
            let task = self.task(id);
            assert_ne!(task["state"], "dead", "{task}");
            (task["state"] == "done").then_some(task)
        });
        (done["attempts"].as_u64().unwrap(), done["history"].as_array().unwrap().len())
    }
}

fn start(folder: &Folder, mails: &MailServer, queue: Option<(&str, &str)>) -> Server {
    let url = mails.url();
    let mut variables =
        vec![("SMTP_URL", url.as_str()), ("DAYBOOK_TASKS", "1"), ("DAYBOOK_TASK_LEASE", "2s")];
    variables.extend(queue);
    Server::start_with(folder, &variables)
}

fn message_id(task: &str) -> String {
    format!("<{task}@daybook>")
}

#[test]
fn killed_with_tasks_received_and_not_begun_each_is_done_once() {
    for queue in queues() {
        let setting = Setting::new(queue, Some(Hold::Greeting));
        // Each process has one in hand, and others wait: with a broker, they are handed ahead.
        let processes = Engines::SERVERS + Engines::WORKERS;
        let ids: Vec<_> = (0..2 * processes).map(|_| setting.send()).collect();
        setting.mails.held(processes);
        let setting = setting.kill();
        for id in &ids {
            setting.done(id);
        }
        let mut expected: Vec<_> = ids.iter().map(|id| message_id(id)).collect();
        expected.sort_unstable();
        assert_eq!(setting.mails.mails(), expected, "{queue:?}");
    }
}

#[test]
fn killed_with_a_task_leased_or_its_effect_begun_it_is_done_once() {
    for queue in queues() {
        for hold in [Hold::Greeting, Hold::Recipient] {
            let setting = Setting::new(queue, Some(hold));
            let id = setting.send();
            setting.mails.held(1);
            assert_eq!(setting.task(&id)["state"], "running");
            let setting = setting.kill();
            assert_eq!(setting.done(&id), (2, 1), "{queue:?} {hold:?}");
            assert_eq!(setting.mails.mails(), [message_id(&id)], "{queue:?} {hold:?}");
        }
    }
}

#[test]
fn killed_with_the_effect_done_it_is_recorded_once_and_the_mail_keeps_its_id() {
    for queue in queues() {
        let setting = Setting::new(queue, Some(Hold::Taken));
        let id = setting.send();
        setting.mails.held(1);
        let setting = setting.kill();
        assert_eq!(setting.done(&id), (2, 1), "{queue:?}");
        assert_eq!(setting.mails.mails(), [message_id(&id), message_id(&id)], "{queue:?}");
    }
}

#[test]
fn killed_with_the_outcome_recorded_it_is_not_done_again() {
    for queue in queues() {
        let setting = Setting::new(queue, None);
        let id = setting.send();
        assert_eq!(setting.done(&id), (1, 0));
        let setting = setting.kill();
        // What is behind it is done: so nothing of it is left before that.
        let behind = setting.send();
        setting.done(&behind);
        assert_eq!(setting.done(&id), (1, 0), "{queue:?}");
        let mut expected = [message_id(&id), message_id(&behind)];
        expected.sort_unstable();
        assert_eq!(setting.mails.mails(), expected, "{queue:?}");
    }
}

#[test]
fn asked_to_end_it_gives_back_what_is_not_done_and_the_attempt_does_not_count() {
    for queue in queues() {
        let folder = Folder::new();
        // Nobody would have it before a lease of an hour is over.
        let mut slow = vec![
            ("DAYBOOK_TEXT_TASK_DURATION", "1h"),
            ("DAYBOOK_TASK_LEASE", "1h"),
            ("DAYBOOK_TASKS", "1"),
            ("DAYBOOK_DRAIN", "1s"),
        ];
        slow.extend(queue);
        let server = Server::start_with(&folder, &slow);
        let client = server.register("ada@example.com");
        let task = json!({ "kind": "text", "payload": "Water the plants" });
        let count = 3 * (Engines::SERVERS + Engines::WORKERS);
        let ids: Vec<_> =
            (0..count).map(|_| client.post("/tasks", &task).written(202).text("task_id")).collect();
        eventually("every process has one in hand", || {
            let running = client.pages("/tasks?state=running").0.len();
            (running == count / 3).then_some(())
        });
        server.signal(Signal::TERM);
        assert_eq!(server.ended().status.code(), Some(0));

        let mut quick = vec![("DAYBOOK_TEXT_TASK_DURATION", "10ms")];
        quick.extend(queue);
        let server = Server::start_with(&folder, &quick);
        let client = client.at(&server.client());
        for id in ids {
            let done = eventually("it is done", || {
                let task = client.get(&format!("/tasks/{id}")).expect(200).json();
                (task["state"] == "done").then_some(task)
            });
            let history = done["history"].as_array().unwrap();
            assert_eq!((&done["attempts"], history.len()), (&json!(1), 0), "{queue:?} {done}");
        }
    }
}
