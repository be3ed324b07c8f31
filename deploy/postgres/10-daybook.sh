#!/bin/sh
# Run by the image once, when the database is made: Daybook gets a role and a database of its own, so
# that it does not work as superuser.
set -e

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres \
    --set=password="$(cat /run/secrets/daybook_password)" <<'SQL'
CREATE ROLE daybook LOGIN PASSWORD :'password';
CREATE DATABASE daybook OWNER daybook;
REVOKE ALL ON DATABASE daybook FROM PUBLIC;
SQL
