//! What the server does in one step: reading and changing a value and its guard together.
//!
//! Every script takes the key and the key of its guard, and the mark of the writer as ARGV[1]. It reads
//! the guard with MGET, for which one of another type is simply not there, and never with GET, which
//! would fail on it. Of the value it looks at the length alone. Numbers are compared as text: those
//! of the server's language are exact only up to 2^53. The first to be written is always a guard:
//! only what a script writes first is refused by a server that has no memory left.

use std::sync::OnceLock;

use redis::{ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind};

use crate::guard::guard_key;
use crate::link::Link;

/// What every script begins with: `there` is whether something has the key, `guard` is what its
/// guard is, `number` reads the number of a guard of a kind, `lower` compares two of them, and
/// `version` is the one that is there, be it of a value or of the knowledge that there is nothing.
/// The largest value is that of `guard.rs`.
macro_rules! script {
    ($($line:literal)+) => {
        Code::new(concat!(
            "local there = redis.call('EXISTS', KEYS[1]) == 1\n",
            "local guard = redis.call('MGET', KEYS[2])[1]\n",
            "local function number(kind)\n",
            "  if not guard or string.sub(guard, 1, 2) ~= kind then return nil end\n",
            "  local digits, mark, rest = string.match(guard, '^(%d+):(%w+)(.*)$', 3)\n",
            "  if not digits or mark ~= ARGV[1] or #digits > 19 then return nil end\n",
            "  if string.find(rest, '[^%w:]') then return nil end\n",
            "  if digits ~= '0' and string.sub(digits, 1, 1) == '0' then return nil end\n",
            "  return digits, rest\n",
            "end\n",
            "local function lower(a, b)\n",
            "  if #a ~= #b then return #a < #b end\n",
            "  return a < b\n",
            "end\n",
            "local version, rest = number(there and 'v:' or 't:')\n",
            "if version and there then\n",
            "  local said = tonumber(string.match(rest, '^:(%d+):%w+$'))\n",
            "  local length = redis.pcall('STRLEN', KEYS[1])\n",
            "  if not said or said > 262144 or length ~= said then version = nil end\n",
            "end\n",
            $($line, "\n",)+
        ))
    };
}

/// What is there; where that is nothing, or the guard is ARGV[4], which was found to be false, the
/// ticket's guard ARGV[2] stands there from then on, for ARGV[3] milliseconds, and the answer is
/// empty.
pub(crate) static LOOK: Code = script! {
    "if guard ~= ARGV[4] then"
    "  if version and there then return {guard, redis.call('GET', KEYS[1])} end"
    "  if version then return {guard} end"
    "  if not there and number('l:') then return {guard} end"
    "end"
    "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])"
    "redis.call('DEL', KEYS[1])"
    "return {}"
};

/// Where the ticket's guard ARGV[2] stands: the guard ARGV[3] and the value ARGV[5], if any, for
/// ARGV[4] milliseconds.
pub(crate) static FILL: Code = script! {
    "if guard ~= ARGV[2] then return 0 end"
    "redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])"
    "if ARGV[5] then redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[4])"
    "else redis.call('DEL', KEYS[1]) end"
    "return 1"
};

/// In the place of a version lower than ARGV[2]: its guard ARGV[3] and its value ARGV[5], if any,
/// for ARGV[4] milliseconds. In the place of none, or where there is no memory for it: nothing.
pub(crate) static PUT: Code = script! {
    "if not version then redis.call('DEL', KEYS[1], KEYS[2]) return 0 end"
    "if not lower(version, ARGV[2]) then return 0 end"
    "local set = redis.pcall('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])"
    "if set.err then redis.call('DEL', KEYS[1], KEYS[2]) return 0 end"
    "if ARGV[5] then redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[4])"
    "else redis.call('DEL', KEYS[1]) end"
    "return 1"
};

/// In the place of a version lower than ARGV[2], or of none: nothing.
pub(crate) static INVALIDATE: Code = script! {
    "if version and not lower(version, ARGV[2]) then return 0 end"
    "redis.call('DEL', KEYS[1], KEYS[2])"
    "return 1"
};

/// Writes and removes a guard: tells whether the cache can be used.
pub(crate) static PROBE: Code = script! {
    "redis.call('SET', KEYS[2], ARGV[2], 'PX', 1000)"
    "redis.call('DEL', KEYS[1], KEYS[2])"
    "return 1"
};

/// A script and the name the server gives it.
pub(crate) struct Code {
    text: &'static str,
    hashed: OnceLock<Script>,
}

impl Code {
    const fn new(text: &'static str) -> Self {
        Self { text, hashed: OnceLock::new() }
    }

    /// Runs the script on a key and its guard, with the mark of the writer before `args` and a value
    /// after them. A server that does not know it by its name, being new or restarted, is sent the
    /// text.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        link: &mut Link,
        key: &str,
        mark: &str,
        args: &[&str],
        value: Option<&[u8]>,
    ) -> RedisResult<T> {
        let keys = [key, &guard_key(key)];
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(&keys).arg(mark).arg(args).arg(value);
            command
        };
        let hashed = self.hashed.get_or_init(|| Script::new(self.text));
        match command("EVALSHA", hashed.get_hash()).query_async(link).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                command("EVAL", self.text).query_async(link).await
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_and_the_reader_agree_on_the_largest_value() {
        assert!(LOOK.text.contains(&format!("said > {} ", crate::guard::LARGEST)));
    }
}
