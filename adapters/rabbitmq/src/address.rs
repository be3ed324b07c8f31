//! The broker's address, as the URL gives it.

use url::Url;

use crate::RabbitConfigError;

/// Where the broker is and how to log in. It has no `Debug`: it holds the password.
#[derive(Clone)]
pub(crate) struct Address {
    /// Without brackets where it is an IPv6 address.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub vhost: String,
    pub tls: bool,
    pub heartbeat: Option<u16>,
    pub authorities: Option<String>,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, RabbitConfigError> {
        let wrong = RabbitConfigError::Url;
        let url = Url::parse(text.trim()).map_err(|_| wrong("it is not a URL"))?;
        let (tls, port) = match url.scheme() {
            "amqp" => (false, 5_672),
            "amqps" => (true, 5_671),
            _ => return Err(wrong("it begins with something else")),
        };
        if url.cannot_be_a_base() || !text.contains("://") {
            return Err(wrong("// is missing"));
        }
        if url.fragment().is_some() {
            return Err(wrong("a # has to be written as %23"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
        let decoded = |text: &str| decoded(text).ok_or(wrong("a percent-encoding is broken"));
        let or_guest = |text: &str| if text.is_empty() { "guest" } else { text }.to_owned();
        let vhost = decoded(url.path().strip_prefix('/').unwrap_or_default())?;
        let mut address = Self {
            host: decoded(host.trim_matches(['[', ']']))?,
            port: url.port().unwrap_or(port),
            user: decoded(&or_guest(url.username()))?,
            password: decoded(url.password().unwrap_or("guest"))?,
            vhost: if vhost.is_empty() { "/".to_owned() } else { vhost },
            tls,
            heartbeat: None,
            authorities: None,
        };
        // In the login a zero byte separates the two.
        if address.user.contains('\0') || address.password.contains('\0') {
            return Err(wrong("a user or password can't hold a zero byte"));
        }
        if address.vhost.len() > 255 {
            return Err(wrong("a virtual host has at most 255 bytes"));
        }
        address.options(&url)?;
        Ok(address)
    }

    fn options(&mut self, url: &Url) -> Result<(), RabbitConfigError> {
        for (name, value) in url.query_pairs() {
            match &*name {
                "heartbeat" if self.heartbeat.is_some() => {
                    return Err(RabbitConfigError::Url("heartbeat is given twice"));
                }
                "cacertfile" if self.authorities.is_some() => {
                    return Err(RabbitConfigError::Url("cacertfile is given twice"));
                }
                "heartbeat" => {
                    let heartbeat = value.parse();
                    self.heartbeat =
                        Some(heartbeat.map_err(|_| {
                            RabbitConfigError::Url("heartbeat is a number of seconds")
                        })?);
                }
                "cacertfile" if self.tls => self.authorities = Some(value.into_owned()),
                _ => {
                    return Err(RabbitConfigError::Url(
                        "the options it may have are heartbeat and, with amqps, cacertfile",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The text without its percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => (digit(rest.next()?)? << 4) | digit(rest.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, u16, String, String, String) {
        let a = Address::parse(url).map_err(|e| format!("{url}: {e}")).unwrap();
        (a.host, a.port, a.user, a.password, a.vhost)
    }

    fn owned(
        (host, port, user, password, vhost): (&str, u16, &str, &str, &str),
    ) -> (String, u16, String, String, String) {
        (host.to_owned(), port, user.to_owned(), password.to_owned(), vhost.to_owned())
    }

    #[test]
    fn what_is_left_out_is_as_everywhere() {
        let usual = owned(("localhost", 5_672, "guest", "guest", "/"));
        for url in [
            "amqp://guest:guest@localhost:5672/",
            "amqp://localhost",
            "amqp://",
            "amqp:///",
            " amqp://guest@localhost\n",
            "amqp://localhost/%2f",
        ] {
            assert_eq!(parts(url), usual);
        }
        assert_eq!(parts("amqps://h").1, 5_671);
    }

    #[test]
    fn parts_are_decoded() {
        assert_eq!(
            parts("amqp://us%65r:p%40%2Fss%25@[::1]:1234/v%2Fh"),
            owned(("::1", 1_234, "user", "p@/ss%", "v/h"))
        );
        let address = Address::parse("amqps://h/v?heartbeat=7&cacertfile=/a%20b.pem").ok().unwrap();
        assert_eq!((address.heartbeat, address.authorities.unwrap()), (Some(7), "/a b.pem".into()));
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_is_not() {
        for url in [
            "",
            "localhost:5672",
            "http://u:secret@h",
            "amqp:u:secret@h",
            "amqp://u:secret@h:port",
            "amqp://u:secret#1@h",
            "amqp://u:secret%zz@h",
            "amqp://u:secret%00@h",
            "amqp://u:secret@h/?verify=none",
            "amqp://u:secret@h/?heartbeat=often",
            "amqp://u:secret@h/?cacertfile=x",
            "amqp://u:secret@h/?heartbeat=5&heartbeat=6",
            "amqps://u:secret@h/?cacertfile=x&cacertfile=y",
        ] {
            let error = Address::parse(url).err().unwrap_or_else(|| panic!("{url} was taken"));
            let text = format!("{error} {error:?}");
            assert!(text.starts_with("AMQP_URL ") && !text.contains("secret"), "{url}: {text}");
            assert!(!error.to_string().contains('\n'));
        }
    }
}
