-- In which schema a fleet lives, and what is its own beside the tables there: a channel, and keys
-- of advisory locks (docs/protocol.md, "Several fleets in one database").  Words in double quotes
-- and braces are identifiers: `run` puts them in.

-- name: astray
-- The schema that KRONII_SCHEMA names, where the session does not work in it, for there was none of
-- that name when it began.
SELECT asked.name FROM (SELECT current_setting('kronii.schema', true) AS name) AS asked
 WHERE asked.name <> '' AND COALESCE(current_schema()::text <> asked.name, true)

-- name: asked
SELECT NULLIF(current_setting('kronii.schema', true), '')

-- name: path_as_given
-- As role, database and address have it.
RESET search_path

-- name: schema_is_there
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s::name)

-- name: may_make_schemas
SELECT has_database_privilege(current_database()::text, 'CREATE'::text) AS may,
       quote_ident(current_database()::text) AS database, quote_ident(current_user::text) AS role,
       quote_ident(%(schema)s::text) AS schema

-- name: name_lock
-- For whoever makes a schema of this name: two who make it at once would refuse each other.
SELECT pg_advisory_xact_lock(hashtextextended('kronii schema ' || %(schema)s::text, 0::bigint))

-- name: make_schema
CREATE SCHEMA IF NOT EXISTS "{schema}"

-- name: named_and_unmade
-- KRONII_SCHEMA names our schema, and nobody has made its tables yet: they will have own keys.
SELECT COALESCE(current_setting('kronii.schema', true), '') <> ''
       AND NOT @is_made(kronii_schema)

-- name: keep_apart
-- From its beginning on, a fleet in a schema that KRONII_SCHEMA names has a channel and keys of its
-- own.  A release that knows of none would neither wake the others nor be kept out by their locks:
-- for it this schema is too new.
INSERT INTO kronii_schema (version) VALUES (%(version)s) ON CONFLICT DO NOTHING

-- name: make_own_keys
-- That it is there is what it says: everybody may see that, whatever is granted.
CREATE TABLE kronii_own_keys (since TIMESTAMPTZ NOT NULL DEFAULT now())

-- shorthand: @schema_number
-- Of our schema.  No other of this database has it, and it stays with a schema that is renamed.
(SELECT oid FROM pg_namespace WHERE nspname = current_schema())

-- shorthand: @is_made(table)
-- Whether our schema has it.  Asked of the catalog: what `to_regclass` says in the midst of a
-- transaction may be what was so before the transaction waited for a lock.
EXISTS (SELECT FROM pg_class WHERE relnamespace = @schema_number AND relname = '@table')

-- shorthand: @salt
-- What makes the keys of advisory locks the fleet's own; 0 where they are those of the releases
-- before, which know of nothing else.
COALESCE(CASE WHEN @is_made(kronii_own_keys)
              THEN hashtextextended('kronii ' || @schema_number::text, 0::bigint) END, 0::bigint)

-- name: channel
-- The channel of our notifications.
SELECT @own_channel

-- shorthand: @own_channel
CASE WHEN @is_made(kronii_own_keys) THEN 'kronii_' || @schema_number::text ELSE 'kronii' END

-- name: transaction_lock
SELECT pg_advisory_xact_lock(%(key)s::bigint # @salt)

-- name: try_transaction_lock
SELECT pg_try_advisory_xact_lock(%(key)s::bigint # @salt)

-- name: schema_lock
-- Whatever keys the fleet has, or will have: who makes or upgrades this schema is alone.
SELECT pg_advisory_xact_lock(
    %(key)s::bigint # hashtextextended('kronii ' || @schema_number::text, 0::bigint))
