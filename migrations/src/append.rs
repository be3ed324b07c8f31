//! The function of a Postgres database that appends a batch in one step, as it is now: each migration
//! that changes it makes it anew. One with other parameters stays beside it, for instances that run
//! while others are upgraded.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// Makes the function, or makes it anew.
pub(crate) async fn make(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    on_postgres(manager, FUNCTION).await
}

/// Waits for the lock that whoever appends takes: instances that are running append neither now nor in
/// another order of locks.
pub(crate) async fn hold_off(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    on_postgres(manager, "SELECT pg_advisory_xact_lock(1684109676, 1)").await
}

async fn on_postgres(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    if manager.get_database_backend() == DatabaseBackend::Postgres {
        manager.get_connection().execute_unprepared(sql).await?;
    }
    Ok(())
}

const FUNCTION: &str = "
CREATE OR REPLACE FUNCTION daybook_append(
    -- Streams that events exist in or that were only read, and the versions they are expected at.
    expected_stream text[], expected_version bigint[],
    -- Positions are counted from the end of the log.
    event_position bigint[], event_id uuid[], event_stream text[], event_version bigint[],
    event_type text[], event_entry uuid[], event_owner uuid[], event_order uuid[],
    event_timestamp bigint[], event_data text[], event_metadata text[],
    outcome_key text[], outcome_scope uuid[], outcome_fingerprint bytea[], outcome_outcome text[],
    outcome_position bigint[], outcome_created_at bigint[],
    holder_id uuid[], holder_email text[], holder_email_key text[], holder_full_name text[],
    holder_password_hash text[], holder_created_at bigint[],
    posting_position bigint[], posting_ledger text[], posting_account uuid[],
    posting_currency text[], posting_amount bigint[], posting_balance bigint[],
    posting_reference text[], posting_order uuid[],
    task_id uuid[], task_owner uuid[], task_kind text[], task_payload text[], task_state text[],
    task_attempts integer[], task_run_at bigint[], task_created_at bigint[],
    task_lease_token bigint[], task_version bigint[], task_position bigint[],
    account_id uuid[], account_holder uuid[], account_name text[], account_currency text[],
    account_initial_balance bigint[], account_balance bigint[], account_open boolean[],
    account_created_at bigint[], account_version bigint[], account_position bigint[],
    order_id uuid[], order_holder uuid[], order_status text[], order_currency text[],
    order_lines text[], order_paid boolean[], order_account uuid[], order_created_at bigint[],
    order_version bigint[], order_position bigint[]
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1684109676, 1);

    IF cardinality(expected_stream) > 0 AND EXISTS (
        SELECT FROM unnest(expected_stream, expected_version) AS expected (stream, version)
        WHERE coalesce((SELECT events.version FROM events WHERE events.stream = expected.stream
                        ORDER BY events.version DESC LIMIT 1), 0) <> expected.version
    ) THEN
        RETURN NULL;
    END IF;
    IF cardinality(outcome_key) > 0 AND EXISTS (
        SELECT FROM unnest(outcome_key, outcome_scope) AS new (key, scope)
        WHERE EXISTS (SELECT FROM outcomes WHERE outcomes.key = new.key AND outcomes.scope = new.scope)
    ) THEN
        RETURN NULL;
    END IF;
    IF cardinality(holder_email_key) > 0 AND EXISTS (
        SELECT FROM unnest(holder_email_key) AS new (email_key)
        WHERE EXISTS (SELECT FROM holders WHERE holders.email_key = new.email_key)
    ) THEN
        RETURN NULL;
    END IF;

    SELECT coalesce((SELECT position FROM events ORDER BY position DESC LIMIT 1), 0) INTO head;
    IF cardinality(event_id) > 0 THEN
        INSERT INTO events (position, id, stream, version, event_type, entry_id, owner_id, order_id,
                            timestamp, data, metadata)
        SELECT head + new.position, new.id, new.stream, new.version, new.event_type, new.entry_id,
               new.owner_id, new.order_id, new.timestamp, new.data, new.metadata
        FROM unnest(event_position, event_id, event_stream, event_version, event_type, event_entry,
                    event_owner, event_order, event_timestamp, event_data, event_metadata)
             AS new (position, id, stream, version, event_type, entry_id, owner_id, order_id,
                     timestamp, data, metadata);
        PERFORM pg_notify('daybook', 'events');
    END IF;
    IF cardinality(outcome_key) > 0 THEN
        INSERT INTO outcomes (key, scope, fingerprint, outcome, position, created_at)
        SELECT new.key, new.scope, new.fingerprint, new.outcome, head + new.position, new.created_at
        FROM unnest(outcome_key, outcome_scope, outcome_fingerprint, outcome_outcome,
                    outcome_position, outcome_created_at)
             AS new (key, scope, fingerprint, outcome, position, created_at);
    END IF;
    IF cardinality(holder_id) > 0 THEN
        INSERT INTO holders (id, email, email_key, full_name, password_hash, created_at)
        SELECT * FROM unnest(holder_id, holder_email, holder_email_key, holder_full_name,
                             holder_password_hash, holder_created_at);
    END IF;
    IF cardinality(posting_position) > 0 THEN
        INSERT INTO postings (position, ledger, account_id, currency, amount, balance, reference,
                              order_id)
        SELECT head + new.position, new.ledger, new.account_id, new.currency, new.amount,
               new.balance, new.reference, new.order_id
        FROM unnest(posting_position, posting_ledger, posting_account, posting_currency,
                    posting_amount, posting_balance, posting_reference, posting_order)
             AS new (position, ledger, account_id, currency, amount, balance, reference, order_id);
    END IF;
    IF cardinality(task_id) > 0 THEN
        INSERT INTO tasks (id, owner_id, kind, payload, state, attempts, run_at, created_at,
                           lease_token, version, position)
        SELECT new.id, new.owner, new.kind, new.payload, new.state, new.attempts, new.run_at,
               new.created_at, new.lease_token, new.version, head + new.position
        FROM unnest(task_id, task_owner, task_kind, task_payload, task_state, task_attempts,
                    task_run_at, task_created_at, task_lease_token, task_version, task_position)
             AS new (id, owner, kind, payload, state, attempts, run_at, created_at, lease_token,
                     version, position)
        ON CONFLICT (id) DO NOTHING;
        PERFORM pg_notify('daybook', 'tasks');
    END IF;
    IF cardinality(account_id) > 0 THEN
        INSERT INTO accounts (id, holder_id, name, currency, initial_balance, balance, open,
                              created_at, version, position)
        SELECT new.id, new.holder, new.name, new.currency, new.initial_balance, new.balance,
               new.open, new.created_at, new.version, head + new.position
        FROM unnest(account_id, account_holder, account_name, account_currency,
                    account_initial_balance, account_balance, account_open, account_created_at,
                    account_version, account_position)
             AS new (id, holder, name, currency, initial_balance, balance, open, created_at,
                     version, position)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, balance = excluded.balance,
                                       open = excluded.open, version = excluded.version;
    END IF;
    IF cardinality(order_id) > 0 THEN
        -- What is new is inserted plainly: a conflict that may come is looked for and logged row by row.
        INSERT INTO orders (id, holder_id, status, currency, lines, paid, account_id, created_at,
                            version, position)
        SELECT new.id, new.holder, new.status, new.currency, new.lines, new.paid, new.account,
               new.created_at, new.version, head + new.position
        FROM unnest(order_id, order_holder, order_status, order_currency, order_lines, order_paid,
                    order_account, order_created_at, order_version, order_position)
             AS new (id, holder, status, currency, lines, paid, account, created_at, version,
                     position)
        WHERE new.version = 1;
    END IF;
    IF EXISTS (SELECT FROM unnest(order_version) AS new (version) WHERE new.version > 1) THEN
        INSERT INTO orders (id, holder_id, status, currency, lines, paid, account_id, created_at,
                            version, position)
        SELECT new.id, new.holder, new.status, new.currency, new.lines, new.paid, new.account,
               new.created_at, new.version, head + new.position
        FROM unnest(order_id, order_holder, order_status, order_currency, order_lines, order_paid,
                    order_account, order_created_at, order_version, order_position)
             AS new (id, holder, status, currency, lines, paid, account, created_at, version,
                     position)
        WHERE new.version > 1
        ON CONFLICT (id) DO UPDATE SET status = excluded.status, paid = excluded.paid,
                                       account_id = excluded.account_id, version = excluded.version;
    END IF;
    RETURN head;
END
$$;
";
