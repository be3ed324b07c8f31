//! What the server does in one step: reading and changing a value and its guard together.
//!
//! Every script takes the key and the key of its guard, and the run of the server as ARGV[1]. It
//! reads both keys with MGET, for which one of another type is simply not there, and never with GET,
//! which would fail on it. Numbers are compared as text: those of the server's language are exact
//! only up to 2^53. The first to be written is always a guard: only what a script writes first is
//! refused by a server that has no memory left.

use std::sync::OnceLock;

use redis::{ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind};

use crate::guard::guard_key;
use crate::link::Link;

/// What every script begins with: `value` and `guard` are what is there, `number` reads the number
/// of a guard of a kind, `lower` compares two of them, and `version` is the one that is there, be it
/// of a value or of the knowledge that there is nothing.
macro_rules! script {
    ($($line:literal)+) => {
        Code::new(concat!(
            "local found = redis.call('MGET', KEYS[1], KEYS[2])\n",
            "local value, guard = found[1], found[2]\n",
            "local function number(kind)\n",
            "  if not guard or string.sub(guard, 1, 2) ~= kind then return nil end\n",
            "  local digits, run = string.match(guard, '^(%d+):(%w+)$', 3)\n",
            "  if not digits or run ~= ARGV[1] or #digits > 19 then return nil end\n",
            "  if digits ~= '0' and string.sub(digits, 1, 1) == '0' then return nil end\n",
            "  return digits\n",
            "end\n",
            "local function lower(a, b)\n",
            "  if #a ~= #b then return #a < #b end\n",
            "  return a < b\n",
            "end\n",
            "local version = number(value and 'v:' or 't:')\n",
            $($line, "\n",)+
        ))
    };
}

/// What is there; where that is nothing, the ticket's guard ARGV[2] stands there from then on, for
/// ARGV[3] milliseconds, and the answer is empty.
pub(crate) static LOOK: Code = script! {
    "if version and value then return {guard, value} end"
    "if version then return {guard} end"
    "if not value and number('l:') then return {guard} end"
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

/// A script and the name the server gives it.
pub(crate) struct Code {
    text: &'static str,
    hashed: OnceLock<Script>,
}

impl Code {
    const fn new(text: &'static str) -> Self {
        Self { text, hashed: OnceLock::new() }
    }

    /// Runs the script on a key and its guard, with the run of the server before `args` and a value
    /// after them. A server that does not know it by its name, being new or restarted, is sent the
    /// text.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        link: &mut Link,
        key: &str,
        args: &[&str],
        value: Option<&[u8]>,
    ) -> RedisResult<T> {
        let keys = [key, &guard_key(key)];
        let run = link.run();
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(&keys).arg(&*run).arg(args).arg(value);
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
