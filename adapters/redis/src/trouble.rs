//! Why Redis can't be used.

use std::error::Error as _;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;

use crate::address::Address;

/// Why Redis can't be used now: one line for whoever runs it, without a user name or a password.
///
/// `at` is the host and port, or the path; of a cluster all of them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RedisTrouble {
    /// There is no connection.
    #[error("Redis at {at} can't be reached ({why}): start it, or correct REDIS_URL")]
    Unreachable {
        /// Where.
        at: String,
        /// What the operating system says.
        why: String,
    },
    /// There is a connection, or none yet, and no answer in time.
    #[error("Redis at {at} does not answer: see whether it hangs, or correct REDIS_URL")]
    NotAnswering {
        /// Where.
        at: String,
    },
    /// What answers is something else.
    #[error("what answers at {at} is not Redis: correct REDIS_URL")]
    NotRedis {
        /// Where.
        at: String,
    },
    /// The user name or the password is wrong.
    #[error("Redis at {at} refuses the user name or the password: correct them in REDIS_URL")]
    LoginRefused {
        /// Where.
        at: String,
    },
    /// A password is needed, and there is none.
    #[error("Redis at {at} wants a password: put it into REDIS_URL, as in redis://:password@host")]
    LoginMissing {
        /// Where.
        at: String,
    },
    /// The user may not do what is needed.
    #[error(
        "Redis at {at} does not permit the user of REDIS_URL what Daybook needs: grant \
         +@read +@write +@scripting +@pubsub +@connection +info, and its keys and channels"
    )]
    NotPermitted {
        /// Where.
        at: String,
    },
    /// The server does not know RESP3.
    #[error("Redis at {at} is too old: put Redis 6.0 or later where REDIS_URL points")]
    TooOld {
        /// Where.
        at: String,
    },
    /// The server reads its data from disk.
    #[error("Redis at {at} is still loading its data: wait, or see its log (REDIS_URL)")]
    Loading {
        /// Where.
        at: String,
    },
    /// The server takes no writes.
    #[error("Redis at {at} is a replica that takes no writes: point REDIS_URL to its primary")]
    ReadOnly {
        /// Where.
        at: String,
    },
    /// The server's memory is used up.
    #[error(
        "Redis at {at} (REDIS_URL) has no memory left: raise its maxmemory, or set its \
         maxmemory-policy to allkeys-lru"
    )]
    Full {
        /// Where.
        at: String,
    },
    /// The server can't save its data, and takes no writes for that.
    #[error(
        "Redis at {at} (REDIS_URL) takes no writes, as it can't save its data to disk: see its log, \
         or set stop-writes-on-bgsave-error to no"
    )]
    NotSaving {
        /// Where.
        at: String,
    },
    /// A command that is needed was switched off.
    #[error(
        "Redis at {at} (REDIS_URL) does not know a command that Daybook needs: permit EVAL, EVALSHA, \
         PUBLISH and SUBSCRIBE there"
    )]
    Disabled {
        /// Where.
        at: String,
    },
    /// There is no database of that number.
    #[error(
        "Redis at {at} has no database of the number in REDIS_URL (DB index is out of range): name \
         one below its setting `databases`, which is 16 where nothing is set"
    )]
    NoSuchDatabase {
        /// Where.
        at: String,
    },
    /// The server is a node of a cluster, and was not named as one.
    #[error("Redis at {at} is a cluster: write REDIS_URL as redis+cluster://host:port,host:port")]
    Cluster {
        /// Where.
        at: String,
    },
    /// The cluster does not serve, or is none.
    #[error("Redis at {at} is no working cluster: see CLUSTER INFO there, or correct REDIS_URL")]
    NoCluster {
        /// Where.
        at: String,
    },
    /// The server answered with another error.
    #[error("Redis at {at} (REDIS_URL) answered {code}: see its log")]
    Refused {
        /// Where.
        at: String,
        /// The code of the error.
        code: String,
    },
}

impl RedisTrouble {
    /// Of what the client reports. What a server said is never shown: it may quote the login.
    pub(crate) fn of(error: &RedisError, address: &Address) -> Self {
        let at = address.to_string();
        match error.kind() {
            ErrorKind::Io => Self::of_io(error, at),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::NotRedis { at },
            ErrorKind::AuthenticationFailed => Self::LoginRefused { at },
            ErrorKind::RESP3NotSupported => Self::TooOld { at },
            ErrorKind::ClusterConnectionNotFound => Self::NoCluster { at },
            ErrorKind::Server(kind) => Self::of_server(kind, error.detail().unwrap_or(""), at),
            _ => match error.code() {
                Some(code) => Self::of_code(code, at),
                None => Self::Unreachable { at, why: why(error) },
            },
        }
    }

    /// A call that was not answered in time.
    pub(crate) fn not_answering(address: &Address) -> Self {
        Self::NotAnswering { at: address.to_string() }
    }

    /// A connection that broke, and why that is not known.
    pub(crate) fn closed(address: &Address) -> Self {
        Self::Unreachable { at: address.to_string(), why: "the connection was closed".to_owned() }
    }

    /// Whether it is the connection, and not what was asked, that failed.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::NotAnswering { .. } | Self::NoCluster { .. }
        )
    }

    fn of_io(error: &RedisError, at: String) -> Self {
        // The client of a cluster reports whatever kept it from connecting as text.
        let detail = error.detail().unwrap_or("");
        for code in ["WRONGPASS", "NOAUTH", "NOPERM", "LOADING"] {
            if detail.contains(code) {
                return Self::of_code(code, at);
            }
        }
        if detail.contains("RESP3NotSupported") {
            return Self::TooOld { at };
        }
        if detail.contains("cluster support disabled") {
            return Self::NoCluster { at };
        }
        if error.is_timeout() || detail.contains("timed out") {
            return Self::NotAnswering { at };
        }
        Self::Unreachable { at, why: why(error) }
    }

    fn of_server(kind: ServerErrorKind, detail: &str, at: String) -> Self {
        match kind {
            ServerErrorKind::BusyLoading => Self::Loading { at },
            ServerErrorKind::NoPerm => Self::NotPermitted { at },
            ServerErrorKind::ReadOnly => Self::ReadOnly { at },
            ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot => {
                Self::Cluster { at }
            }
            ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown => Self::NoCluster { at },
            ServerErrorKind::ResponseError if detail.starts_with("unknown command") => {
                // HELLO is the one command an older server does not know.
                if detail.to_ascii_uppercase().contains("HELLO") {
                    Self::TooOld { at }
                } else {
                    Self::Disabled { at }
                }
            }
            ServerErrorKind::ResponseError if detail.contains("DB index") => {
                Self::NoSuchDatabase { at }
            }
            ServerErrorKind::ResponseError if detail.contains("cluster support disabled") => {
                Self::NoCluster { at }
            }
            _ => Self::Refused { at, code: "an error".to_owned() },
        }
    }

    fn of_code(code: &str, at: String) -> Self {
        match code {
            "WRONGPASS" => Self::LoginRefused { at },
            "NOAUTH" => Self::LoginMissing { at },
            "NOPERM" => Self::NotPermitted { at },
            "NOPROTO" => Self::TooOld { at },
            "LOADING" => Self::Loading { at },
            "OOM" => Self::Full { at },
            "MISCONF" => Self::NotSaving { at },
            code => {
                // Nothing but a code is shown, whatever the server sends in its place.
                let code: String =
                    code.chars().filter(char::is_ascii_alphabetic).take(16).collect();
                Self::Refused { at, code }
            }
        }
    }
}

/// What the operating system or TLS says. Other text of the client may hold what a server said.
fn why(error: &RedisError) -> String {
    if error.source().is_some() { error.to_string() } else { error.category().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reply: &[u8]) -> RedisTrouble {
        let address = Address::parse("redis://zoe:hidden@host:1").unwrap();
        let error = match redis::parse_redis_value(reply) {
            Ok(value) => value.extract_error().unwrap_err(),
            Err(error) => error,
        };
        RedisTrouble::of(&error, &address)
    }

    #[test]
    fn what_a_server_says_is_named_and_never_quoted() {
        let at = "host:1".to_owned();
        for (reply, trouble) in [
            ("-WRONGPASS hidden", RedisTrouble::LoginRefused { at: at.clone() }),
            ("-NOAUTH hidden", RedisTrouble::LoginMissing { at: at.clone() }),
            ("-NOPERM zoe has no", RedisTrouble::NotPermitted { at: at.clone() }),
            ("-LOADING x", RedisTrouble::Loading { at: at.clone() }),
            ("-OOM x", RedisTrouble::Full { at: at.clone() }),
            ("-READONLY x", RedisTrouble::ReadOnly { at: at.clone() }),
            ("-MOVED 1 other:1", RedisTrouble::Cluster { at: at.clone() }),
            ("-CLUSTERDOWN x", RedisTrouble::NoCluster { at: at.clone() }),
            ("-NOPROTO x", RedisTrouble::TooOld { at: at.clone() }),
            ("-ERR unknown command 'HELLO' `hidden`", RedisTrouble::TooOld { at: at.clone() }),
            ("-ERR zoe hidden", RedisTrouble::Refused { at: at.clone(), code: "an error".into() }),
            ("-MISCONF zoe", RedisTrouble::NotSaving { at: at.clone() }),
            ("-ERR unknown command 'EVALSHA' zoe", RedisTrouble::Disabled { at: at.clone() }),
            ("-ERR DB index is out of range", RedisTrouble::NoSuchDatabase { at: at.clone() }),
            ("-WRONGTYPE zoe", RedisTrouble::Refused { at: at.clone(), code: "WRONGTYPE".into() }),
            ("HTTP/1.1 400", RedisTrouble::NotRedis { at: at.clone() }),
        ] {
            let seen = of(format!("{reply}\r\n").as_bytes());
            assert_eq!(seen, trouble, "{reply}");
            let text = seen.to_string();
            assert!(text.contains("REDIS_URL") && text.contains("host:1"), "{text}");
            assert!(!text.contains("hidden") && !text.contains("zoe"), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
}
