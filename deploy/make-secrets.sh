#!/bin/sh
# Makes the folder secrets/ beside this script: what the services of compose.yaml know each other by,
# random, made once. Where the folder is there already, nothing is changed.
set -eu
umask 077

cd "$(dirname "$0")"
if [ -e secrets ]; then
    echo "deploy/secrets is there already; nothing was changed" >&2
    exit 0
fi

# 192 bits in hexadecimal: such a password needs no escaping in a URL or a configuration file.
random() { od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# It gets its name when it is whole: whatever stops this script leaves no half of it behind.
new=$(mktemp -d ./secrets.XXXXXX)
trap 'rm -rf "$new"' EXIT
put() { printf '%s\n' "$2" >"$new/$1"; }

put postgres_password "$(random)"

database=$(random)
put daybook_password "$database"
put database_url "postgres://daybook:$database@postgres:5432/daybook"

redis=$(random)
put redis.conf "requirepass $redis"
put redis_url "redis://default:$redis@redis:6379"

rabbitmq=$(random)
put rabbitmq.conf "default_user = daybook
default_pass = $rabbitmq"
put amqp_url "amqp://daybook:$rabbitmq@rabbitmq:5672/%2f"

put signing_key "$(random)$(random)"

# Compose mounts each file as it is, and every service runs as a user of its own. So the files can be
# read by all, and the folder (0700) can be entered by its owner only.
chmod 0444 "$new"/*
mv "$new" secrets
trap - EXIT
echo "made deploy/secrets; keep a copy of it where the backups are" >&2
