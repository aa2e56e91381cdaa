-- What `kronii list` and its neighbours ask and change.

-- name: list_jobs
SELECT name, cron, timezone, next_run, last_run, last_outcome, status,
       paused_at IS NOT NULL AS paused, pause_reason, enabled, retired_at IS NOT NULL AS retired,
       catch_up, description, (SELECT n.name FROM nodes AS n WHERE n.id = owner) AS node
  FROM jobs
 WHERE %(retired)s OR retired_at IS NULL
 ORDER BY name

-- name: list_runs
SELECT r.id, j.name AS job, r.scheduled_for, r.attempt, r.trigger, r.node, r.started_at,
       r.finished_at, r.outcome, r.exit_code, r.error, r.missed
  FROM runs AS r LEFT JOIN jobs AS j ON j.id = r.job_id
 WHERE (%(job)s::uuid IS NULL OR r.job_id = %(job)s)
   AND (%(outcome)s::text IS NULL OR r.outcome = %(outcome)s)
   AND (%(since)s::float8 IS NULL
        OR COALESCE(r.started_at, r.finished_at) >= @now_utc - @seconds(%(since)s))
 ORDER BY r.id DESC
 LIMIT %(limit)s

-- name: find_job
SELECT id::text FROM jobs WHERE name = %(name)s

-- name: run_output
SELECT output FROM runs WHERE id = %(run)s

-- name: pause
-- A run in progress goes on; a job that is paused already keeps its reason.
WITH had AS MATERIALIZED (
    SELECT id, paused_at IS NOT NULL AS paused FROM jobs
     WHERE name = ANY (%(names)s::text[]) AND retired_at IS NULL
       FOR NO KEY UPDATE
), paused AS (
    UPDATE jobs AS j
       SET paused_at = COALESCE(j.paused_at, @now_utc),
           pause_reason = COALESCE(j.pause_reason, %(reason)s),
           status = CASE WHEN j.owner IS NULL THEN 'paused' ELSE j.status END
      FROM had WHERE j.id = had.id
    RETURNING j.id, j.name, j.next_run, had.paused
), noted AS (
    INSERT INTO kronii_events (at, what, job_id, who, reason, details)
    SELECT @now_utc, 'paused', id, @command, %(reason)s,
           pg_catalog.jsonb_build_object('next_run', next_run)
      FROM paused WHERE NOT paused
)
SELECT name FROM paused

-- name: resume
-- Goes on from now: the tick that it stood at is given up, with all that had been tried for it; it
-- stands in the event's details, and so does the next one.
WITH had AS MATERIALIZED (
    SELECT j.id, j.next_run AS stood_at, j.paused_at, r.next_run, r.rules
      FROM unnest(%(names)s::text[], %(nexts)s::timestamp[], %(rules)s::text[])
           AS r (name, next_run, rules)
      JOIN jobs AS j ON j.name = r.name
     WHERE j.paused_at IS NOT NULL
       FOR NO KEY UPDATE OF j
), resumed AS (
    UPDATE jobs AS j
       SET paused_at = NULL, pause_reason = NULL, next_run = had.next_run,
           scheduled_since = @now_utc, zone_rules = had.rules, retry_at = NULL, attempt = 0,
           failures = 0, deaths = 0, missed = 0,
           status = CASE WHEN j.owner IS NOT NULL THEN j.status
                         WHEN NOT j.enabled THEN 'paused' ELSE 'pending' END
      FROM had WHERE j.id = had.id
    RETURNING j.id, j.name, had.stood_at, had.paused_at, had.next_run
), noted AS (
    INSERT INTO kronii_events (at, what, job_id, who, details)
    SELECT @now_utc, 'resumed', id, @command,
           pg_catalog.jsonb_build_object('next_run', stood_at, 'paused_at', paused_at,
                                         'next', next_run)
      FROM resumed
)
SELECT name FROM resumed

-- name: standing
-- What an operator's command has to know of jobs before it does anything.
SELECT name, cron, timezone, enabled, owner IS NOT NULL AS running,
       manual_at IS NOT NULL AS triggered, paused_at IS NOT NULL AS paused, pause_reason,
       @now_utc AS now
  FROM jobs
 WHERE name = ANY (%(names)s::text[]) AND retired_at IS NULL

-- name: trigger
-- One run by hand; its tick is the moment at which it was asked for.
WITH triggered AS (
    UPDATE jobs SET manual_at = date_trunc('milliseconds', @now_utc)
     WHERE name = %(name)s AND retired_at IS NULL AND owner IS NULL AND manual_at IS NULL
    RETURNING id, manual_at
), noted AS (
    INSERT INTO kronii_events (at, what, job_id, who, details)
    SELECT @now_utc, 'triggered', id, @command,
           pg_catalog.jsonb_build_object('scheduled_for', manual_at)
      FROM triggered
)
SELECT id::text, manual_at FROM triggered

-- name: triggered
-- The latest run of a tick.
SELECT id, outcome, error FROM runs
 WHERE job_id = %(id)s::uuid AND scheduled_for = %(tick)s AND trigger = 'manual'
 ORDER BY id DESC LIMIT 1

-- name: list_nodes
SELECT n.name, n.host, n.pid, n.version, n.tzdata, n.workers, n.started_at, n.lease_until,
       n.died_at IS NULL AND n.lease_until > @now_utc AS alive, n.file,
       ARRAY(SELECT j.name FROM jobs AS j WHERE j.owner = n.id ORDER BY j.name) AS running
  FROM nodes AS n
 ORDER BY n.name, n.started_at

-- name: list_files
-- What live instances hold: its digest, since when it was first seen, and how many of its jobs are
-- another one's, because a later definition of theirs is in force.
SELECT f.id, left(f.digest, 12) AS file, f.first_seen AS file_since,
       (SELECT count(*) FROM pg_catalog.unnest(f.definitions) AS its (id)
          JOIN kronii_definitions AS d ON d.id = its.id
          LEFT JOIN jobs AS j ON j.name = d.name
         WHERE j.digest IS DISTINCT FROM d.digest) AS superseded
  FROM kronii_files AS f
 WHERE f.id IN (SELECT n.file FROM nodes AS n)
 ORDER BY f.id

-- name: list_locks
-- Advisory locks of jobs, and who holds each (pg_locks splits a bigint key into two halves).
SELECT j.name AS job, l.pid AS backend, a.application_name AS application,
       a.usename::text AS role, n.name AS node
  FROM pg_locks AS l
  JOIN jobs AS j ON j.lock_key = (l.classid::bigint << 32) | l.objid::bigint
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
  LEFT JOIN nodes AS n ON n.backend_pid = l.pid AND a.application_name = @session_name(n)
 WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 ORDER BY j.name

-- name: zone_rules
-- By which rules ticks were computed, and a job of each.
SELECT timezone, zone_rules, min(name) AS job FROM jobs
 WHERE retired_at IS NULL AND enabled AND zone_rules <> ''
 GROUP BY timezone, zone_rules
 ORDER BY timezone, zone_rules

-- name: tzdata
-- Versions that live instances go by, and who does.
SELECT tzdata, array_agg(name ORDER BY name) AS nodes FROM nodes
 WHERE died_at IS NULL AND lease_until > @now_utc AND tzdata <> ''
 GROUP BY tzdata
 ORDER BY tzdata

-- name: rights
SELECT current_user AS role, current_schema() AS schema,
       has_schema_privilege(current_schema()::text, 'CREATE'::text) AS may_create

-- name: durability
SELECT current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes

-- name: connections
SELECT count(*) AS used, current_setting('max_connections')::int AS most
  FROM pg_stat_activity
 WHERE backend_type = 'client backend'

-- name: epoch
-- The server's clock in seconds since 1970.
SELECT extract(epoch FROM clock_timestamp())::float8
