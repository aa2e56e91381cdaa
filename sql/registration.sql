-- The schema's version, and making the table agree with the file.

-- name: schema_exists
-- The second came with version 3: what an earlier Kronii has made lacks it.
SELECT to_regclass('kronii_schema') IS NOT NULL, to_regclass('kronii_migrations') IS NOT NULL

-- name: first_schema
-- The schema as a Kronii before version 3 has left it: its version is that from which it is usable.
SELECT COALESCE(max(version), 0), COALESCE(max(version), 0) FROM kronii_schema

-- name: schema
-- The schema's version, and the version from which on a Kronii that knows it can work with it.  The
-- latter is what a Kronii before version 3 takes for the version, and compares with its own.
SELECT COALESCE((SELECT max(version) FROM kronii_migrations AS m
                  WHERE m.usable_from <= s.usable_from), s.usable_from), s.usable_from
  FROM (SELECT COALESCE(max(version), 0) AS usable_from FROM kronii_schema) AS s

-- name: migration_limits
-- For this transaction: a migration of a large table takes as long as it takes, but waits for no
-- lock, since whoever comes after it would wait behind it.
SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', %(lock)s, true)

-- name: create_versions
CREATE TABLE IF NOT EXISTS kronii_schema (
    version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)

-- name: create_migrations
CREATE TABLE IF NOT EXISTS kronii_migrations (
    version     INTEGER PRIMARY KEY,
    usable_from INTEGER NOT NULL,
    applied_at  TIMESTAMPTZ NOT NULL DEFAULT now()
)

-- name: adopt_migrations
-- Those that a Kronii before version 3 has applied.
INSERT INTO kronii_migrations (version, usable_from, applied_at)
SELECT version, version, applied_at FROM kronii_schema
    ON CONFLICT DO NOTHING

-- name: migrated
WITH applied AS (
    INSERT INTO kronii_migrations (version, usable_from) VALUES (%(version)s, %(usable_from)s)
)
INSERT INTO kronii_schema (version) VALUES (%(usable_from)s) ON CONFLICT DO NOTHING

-- name: lock_holders
-- Who is at a table of ours: those whom this role may not look at, then those who have been there
-- for the longest time.  Our own are there for milliseconds.
SELECT a.pid, NULLIF(a.application_name, '') AS application, a.backend_type AS kind,
       a.usename AS role, l.relation::regclass::text AS held,
       date_trunc('second', a.xact_start AT TIME ZONE 'UTC') AS since
  FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.relation = ANY (ARRAY(@our_tables))
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.granted AND l.pid <> pg_backend_pid()
 ORDER BY a.xact_start NULLS FIRST, held
 LIMIT 1

-- name: definitions
-- Rows as the registrations left them.
SELECT id::text, name, cron, timezone, digest, retired_at IS NOT NULL, next_run, version, zone_rules
  FROM jobs

-- name: last_registration
SELECT last_value FROM jobs_version

-- name: next_registration
SELECT nextval('jobs_version'::regclass)

-- name: completed_registration
-- The last one, if nobody is at it.
SELECT last_value FROM jobs_version WHERE pg_try_advisory_xact_lock_shared(%(key)s::bigint # @salt)

-- name: changes
-- What other instances have registered since; paused rows too, for one that is resumed carries no
-- new version.
SELECT id::text, name, digest, version FROM jobs WHERE version > %(version)s

-- name: mark_rules
UPDATE jobs AS j SET zone_rules = m.rules
  FROM unnest(%(ids)s::uuid[], %(rules)s::text[]) AS m (id, rules)
 WHERE j.id = m.id AND j.zone_rules = ''

-- name: settled
-- Each job's last tick that has its outcome: everything before next_run has.  Where its run is
-- forgotten, the latest claim comes nearest to it; where none was, the moment from which on ticks
-- are owed; where nothing is known, the moment before next_run.  Jobs whose tick has begun are left
-- out, and so are rows that somebody else holds.
SELECT j.id::text, j.next_run,
       LEAST(GREATEST(j.scheduled_since,
                      COALESCE((SELECT r.scheduled_for FROM runs AS r
                                 WHERE r.job_id = j.id AND r.scheduled_for < j.next_run
                                   AND r.trigger IN ('schedule', 'retry', 'recovery')
                                 ORDER BY r.id DESC LIMIT 1), j.last_run)),
             j.next_run - INTERVAL '1 us')
  FROM jobs AS j
 WHERE j.id = ANY (%(ids)s::uuid[]) AND j.owner IS NULL AND j.attempt = 0
   AND j.next_run IS NOT NULL
   FOR NO KEY UPDATE SKIP LOCKED

-- name: compute_anew
-- A tick that is another one by the rules here is owed since the last that has its outcome.
UPDATE jobs AS j
   SET next_run = n.tick, zone_rules = n.rules,
       scheduled_since = CASE WHEN n.tick IS DISTINCT FROM j.next_run THEN n.settled
                              ELSE j.scheduled_since END
  FROM unnest(%(ids)s::uuid[], %(rules)s::text[], %(ticks)s::timestamp[],
              %(settled)s::timestamp[]) AS n (id, rules, tick, settled)
 WHERE j.id = n.id

-- name: analyze_jobs
-- It waits for nobody: while a vacuum is at the table, that brings the planner the news.
ANALYZE (SKIP_LOCKED) jobs
