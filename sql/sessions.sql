-- What every session is set up with, and what it hears and tells.

-- name: first_limit
-- The first statement of all, which next to no limit is too short for: those that role, database or
-- address give to statements must not end the next ones, whose work is to replace them.
SET statement_timeout = '15s'

-- name: first_lock_limit
SET lock_timeout = '5s'

-- name: session_settings
-- A job's session has the search path that its users gave it: so every function says whose it is
-- (what `unnest` is given two arrays for is always PostgreSQL's).
SELECT pg_catalog.set_config(name, value, false), pg_catalog.pg_backend_pid() AS pid,
       pg_catalog.pg_is_in_recovery()
           OR pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool AS read_only
  FROM unnest(%(names)s::pg_catalog.text[], %(values)s::pg_catalog.text[]) AS wanted (name, value)

-- name: backend_pid
SELECT pg_catalog.pg_backend_pid() AS pid

-- name: role
-- As it is written in SQL; and before the names of our tables, where others look elsewhere.
SELECT quote_ident(current_user::text) AS role,
       CASE WHEN current_schema() <> 'public'
            THEN quote_ident(current_schema()::text) || '.' ELSE '' END AS schema,
       quote_ident(current_database()::text) AS database,
       -- Where the path leads, though this role may not go there.
       regexp_replace(current_setting('search_path'), ', pg_temp$', '') AS home

-- name: rename_session
SELECT set_config('application_name', %(name)s, false)

-- name: timeline
-- The server's timeline, which a promotion changes.
SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)

-- name: cluster
-- The number that initdb has drawn, which every copy of the files keeps and no dump has.
SELECT system_identifier::text FROM pg_control_system()

-- name: copy
-- Which copy of Kronii's tables this is: in a database that was restored, the oids are others.
SELECT concat_ws('/', %(cluster)s::text, %(timeline)s::text,
                 (SELECT oid FROM pg_database WHERE datname = current_database()),
                 COALESCE(to_regclass('runs_id_seq')::oid, 0))

-- name: listen
-- To the channel that `channel` (sql/place.sql) names.
LISTEN "{channel}"

-- name: notify
SELECT pg_notify(@own_channel, %(event)s)

-- name: now
SELECT @now_utc

-- name: clock
SELECT @clock_utc

-- name: snapshot
-- First in its transaction: all that is read in it is of one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY
