//! Whom a holder may send mail to.

use std::str::FromStr;

use daybook_accounts::Email;
use thiserror::Error;

/// Whom holders may have mail sent to. Operators, schedules and programs that put tasks on the queue
/// themselves may send it to anyone: whoever runs Daybook trusts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MailPolicy {
    /// The address they registered with, and no other: Daybook relays nobody's mail to strangers.
    #[default]
    Own,
    /// That, and any address at one of these domains, in the form in which they are compared.
    Domains(Vec<String>),
    /// Anyone.
    Anyone,
}

/// The text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0} is none of own, anyone, or domains separated by commas, as in example.com,example.org"
)]
pub struct InvalidMailPolicy(String);

impl MailPolicy {
    /// Whether a holder who registered with `own` may send to `to`.
    pub fn allows(&self, own: &Email, to: &Email) -> bool {
        let domain = || to.key().rsplit_once('@').map_or("", |(_, domain)| domain);
        match self {
            Self::Anyone => true,
            Self::Own => own == to,
            Self::Domains(domains) => own == to || domains.iter().any(|known| known == domain()),
        }
    }
}

impl FromStr for MailPolicy {
    type Err = InvalidMailPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidMailPolicy> {
        let invalid = || InvalidMailPolicy(text.to_owned());
        match text.trim() {
            "own" => return Ok(Self::Own),
            "anyone" => return Ok(Self::Anyone),
            _ => {}
        }
        let domain = |domain: &str| {
            let address: Email = format!("a@{}", domain.trim()).parse().map_err(|_| invalid())?;
            Ok(address.key().trim_start_matches("a@").to_owned())
        };
        text.split(',').map(domain).collect::<Result<_, _>>().map(Self::Domains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(policy: &str, to: &str) -> bool {
        let own = "Ada@Example.com".parse().unwrap();
        policy.parse::<MailPolicy>().unwrap().allows(&own, &to.parse().unwrap())
    }

    #[test]
    fn by_default_mail_goes_to_the_own_address_alone() {
        assert_eq!(MailPolicy::default(), "own".parse().unwrap());
        assert!(allowed("own", "ada@example.COM"));
        for to in
            ["grace@example.com", "ada@example.org", "ada+x@example.com", "\"ada\"@example.com"]
        {
            assert!(!allowed("own", to), "{to}");
        }
    }

    #[test]
    fn a_policy_widens_it_to_domains_or_to_anyone() {
        let domains = " example.org, Example.net";
        for to in ["ada@example.com", "grace@example.org", "grace@EXAMPLE.net"] {
            assert!(allowed(domains, to), "{to}");
        }
        for to in ["grace@example.com", "grace@sub.example.org", "grace@badexample.org"] {
            assert!(!allowed(domains, to), "{to}");
        }
        assert!(allowed("anyone", "grace@example.org"));
    }

    #[test]
    fn what_is_no_policy_is_said() {
        for text in ["", "everyone", "example.com,", "*", "@example.com", "a b.com", "own,anyone"] {
            assert!(text.parse::<MailPolicy>().is_err(), "{text}");
        }
    }
}
