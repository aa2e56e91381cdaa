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
 WHERE l.relation IN (to_regclass('jobs'), to_regclass('runs'), to_regclass('nodes'))
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.granted AND l.pid <> pg_backend_pid()
 ORDER BY a.xact_start NULLS FIRST, held
 LIMIT 1

-- name: definitions
-- Rows as the registrations left them.
SELECT id::text, name, cron, timezone, digest, retired_at IS NOT NULL, next_run, version, zone_rules
  FROM jobs

-- name: job_ids
SELECT name, id::text FROM jobs WHERE retired_at IS NULL

-- name: last_registration
SELECT last_value FROM jobs_version

-- name: next_registration
SELECT nextval('jobs_version'::regclass)

-- name: completed_registration
-- The last one, if nobody is at it.
SELECT last_value FROM jobs_version WHERE pg_try_advisory_xact_lock_shared(%(key)s::bigint)

-- name: changes
-- What other instances have registered since; paused rows too, for one that is resumed carries no
-- new version.
SELECT id::text, name, digest, version FROM jobs WHERE version > %(version)s

-- name: incoming
-- In the schema that its name says, for that is the last of the path.
CREATE TEMPORARY TABLE incoming (
    name TEXT PRIMARY KEY, cron TEXT, timezone TEXT, catch_up TEXT, description TEXT,
    splay DOUBLE PRECISION, enabled BOOLEAN, digest TEXT, next_run TIMESTAMP, zone_rules TEXT,
    rescheduled BOOLEAN
) ON COMMIT DROP

-- name: copy_incoming
-- Sent by `copy` of the driver, not by `run`.
COPY pg_temp.incoming FROM STDIN

-- name: register_changed
UPDATE jobs AS j
   SET cron = i.cron, timezone = i.timezone, catch_up = i.catch_up, description = i.description,
       splay = @seconds(i.splay), enabled = i.enabled, digest = i.digest, version = %(version)s,
       retired_at = NULL,
       next_run = CASE WHEN i.rescheduled THEN i.next_run ELSE j.next_run END,
       zone_rules = CASE WHEN i.rescheduled THEN i.zone_rules ELSE j.zone_rules END,
       scheduled_since = CASE WHEN i.rescheduled THEN @now_utc ELSE j.scheduled_since END,
       attempt  = CASE WHEN i.rescheduled THEN 0 ELSE j.attempt END,
       failures = CASE WHEN i.rescheduled THEN 0 ELSE j.failures END,
       deaths   = CASE WHEN i.rescheduled THEN 0 ELSE j.deaths END,
       missed   = CASE WHEN i.rescheduled THEN 0 ELSE j.missed END,
       retry_at = CASE WHEN i.rescheduled THEN NULL ELSE j.retry_at END,
       status = CASE WHEN j.owner IS NOT NULL THEN 'running'
                     WHEN j.paused_at IS NOT NULL OR NOT i.enabled THEN 'paused'
                     WHEN j.status IN ('paused', 'retired') THEN 'pending'
                     ELSE j.status END
  FROM pg_temp.incoming AS i
 WHERE j.name = i.name

-- name: register_new
INSERT INTO jobs (name, cron, timezone, catch_up, description, splay, enabled, digest, next_run,
                  zone_rules, status, version, scheduled_since)
SELECT name, cron, timezone, catch_up, description, @seconds(splay), enabled, digest, next_run,
       zone_rules, CASE WHEN enabled THEN 'pending' ELSE 'paused' END, %(version)s, @now_utc
  FROM pg_temp.incoming AS i
 WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.name = i.name)

-- name: retire
-- Gone from the file: the row and its history stay, and it comes back when the file names it again.
-- Without a digest nobody claims it, as nobody claims a row that was inserted by hand.
UPDATE jobs
   SET retired_at = @now_utc, digest = NULL, version = %(version)s, next_run = NULL,
       retry_at = NULL, manual_at = NULL, attempt = 0, failures = 0, deaths = 0, missed = 0,
       status = CASE WHEN owner IS NULL THEN 'retired' ELSE status END
 WHERE id = ANY (%(ids)s::uuid[])

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
