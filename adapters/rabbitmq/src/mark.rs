//! What a message says of the record that its task is in: the application's id.
//!
//! It is `d` and the last six digits of the installation's id. The whole would make the properties so
//! long that a classic queue takes in and hands out fewer messages; where two share the digits, the
//! record still tells them apart. `daybook` alone is what earlier versions wrote.

use amqprs::BasicProperties;
use daybook_application::PresentIdentity;
use daybook_events::InstallationId;

/// In a record, whichever.
pub(crate) const OF_ANY: &str = "daybook";

/// How many digits of an id are shown.
const DIGITS: usize = 6;

/// Whether a message with this application's id is of a task in a record.
pub(crate) fn is_one(app_id: &str) -> bool {
    app_id == OF_ANY || digits(app_id).is_some()
}

/// Whose record a mark names.
fn digits(app_id: &str) -> Option<&str> {
    let digits = app_id.strip_prefix('d')?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == DIGITS && digits.bytes().all(hex)).then_some(digits)
}

/// Marks what is sent, and knows what another installation has sent.
#[derive(Clone)]
pub(crate) struct Marks(pub(crate) Option<PresentIdentity>);

impl Marks {
    pub(crate) fn mark(&self, properties: &mut BasicProperties) {
        if let Some(identity) = &self.0 {
            properties.with_app_id(&mark(identity.id()));
        }
    }

    /// Whether another installation has sent it; that is made a note of.
    pub(crate) fn is_of_another(&self, properties: &BasicProperties) -> bool {
        let (Some(identity), Some(app_id)) = (&self.0, properties.app_id()) else { return false };
        match digits(app_id) {
            Some(digits) if *app_id != mark(identity.id()) => {
                identity.has_met("tasks", &format!("…{digits}"));
                true
            }
            Some(_) | None => false,
        }
    }
}

fn mark(id: InstallationId) -> String {
    let digits = id.uuid().simple().to_string();
    format!("d{}", digits.get(digits.len() - DIGITS..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use daybook_events::Identity;
    use uuid::Uuid;

    use super::*;

    fn marks(number: u128) -> Marks {
        let id = InstallationId::from_uuid(Uuid::from_u128(number));
        Marks(Some(PresentIdentity::new(Identity { id, secret: [0; 16] })))
    }

    fn sent_by(app_id: &str) -> BasicProperties {
        BasicProperties::default().with_app_id(app_id).finish()
    }

    #[test]
    fn a_mark_names_its_installation_and_is_as_short_as_the_one_before() {
        let (me, them) = (marks(0xfff_abc123), marks(0xfff_abc124));
        let mut sent = BasicProperties::default();
        me.mark(&mut sent);
        assert_eq!(sent.app_id().unwrap(), "dabc123");
        assert_eq!(sent.app_id().unwrap().len(), OF_ANY.len());
        assert!(!me.is_of_another(&sent) && them.is_of_another(&sent));
        let met = them.0.as_ref().unwrap().met_lately();
        assert_eq!(met, [("tasks", "…abc123".to_owned())]);
    }

    #[test]
    fn what_is_no_mark_is_nobodys() {
        for app_id in ["", "d", "daybook", "dabc12", "dabc1234", "dABC123", "xabc123", "dabc12é"] {
            assert!(!marks(1).is_of_another(&sent_by(app_id)), "{app_id}");
        }
        assert!(is_one("daybook") && is_one("dabc123") && !is_one("python"));
        assert!(!Marks(None).is_of_another(&sent_by("dabc123")));
    }
}
