//! Notifications: publish.

use daybook_events::{EntryId, HolderId, Message, NotificationPublished, Topic};

use super::Commands;
use crate::{
    Caller, Change, Command, CommandError, Decision, Key, Outcome, Receipt, Rejection, Request,
    States,
};

impl Commands {
    /// Publishes a message on a topic; `caller` is `None` for the command line.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn publish(
        &self,
        caller: Option<&Caller>,
        topic: Topic,
        message: Message,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let actor = caller.map(|caller| caller.holder_id);
        let notification = NotificationPublished { topic, message };
        self.appender.execute(Publish { actor, notification }, request).await
    }
}

struct Publish {
    actor: Option<HolderId>,
    notification: NotificationPublished,
}

impl Command for Publish {
    fn actor(&self) -> Option<HolderId> {
        self.actor
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Topic(self.notification.topic.clone())]
    }

    fn decide(&self, _states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let changes = vec![Change::Notification(self.notification.clone())];
        Ok(Decision { changes, receipt: Receipt::Done })
    }
}
