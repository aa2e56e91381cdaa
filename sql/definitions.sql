-- Definitions and files that were ever seen, who holds which, and making `jobs` agree with what is
-- in force (docs/protocol.md, "Whose definition is in force").
--
-- All that writes here happens under the lock of registrations, and all that one transaction writes
-- is of one moment, `now`.

-- shorthand: @has_gone(node)
-- Whether an instance counts no more: its death is proven, or its lease is over and its session has
-- ended.  One that is connected is there, whatever a step of the clock makes of its lease.
(@node.died_at IS NOT NULL
 OR @node.lease_until <= @now_utc
    AND NOT EXISTS (SELECT FROM pg_stat_activity AS a
                     WHERE a.pid = @node.backend_pid AND a.application_name = @session_name(@node)))

-- shorthand: @just_come
-- Whether this instance has been connected for less than a lease: after an outage the leases of all
-- the others may be over, and they only need to reconnect.
COALESCE((SELECT me.ready_at > @now_utc - @seconds(%(lease)s) FROM nodes AS me
           WHERE me.id = %(id)s), true)

-- == what was ever seen ===========================================================================

-- name: known_file
SELECT id, pg_catalog.cardinality(definitions) FROM kronii_files WHERE digest = %(digest)s

-- name: incoming
-- In the schema that its name says, for that is the last of the path.
CREATE TEMPORARY TABLE incoming (
    name TEXT, digest TEXT, cron TEXT, timezone TEXT, catch_up TEXT, description TEXT,
    splay DOUBLE PRECISION, enabled BOOLEAN
) ON COMMIT DROP

-- name: copy_incoming
-- Sent by `copy` of the driver, not by `run`.
COPY pg_temp.incoming FROM STDIN

-- name: record_definitions
INSERT INTO kronii_definitions (name, digest, cron, timezone, catch_up, description, splay, enabled,
                                first_seen)
SELECT name, digest, cron, timezone, catch_up, description, splay, enabled, %(now)s
  FROM pg_temp.incoming AS i
 WHERE NOT EXISTS (SELECT FROM kronii_definitions AS d
                    WHERE d.name = i.name AND d.digest = i.digest)

-- name: digests
SELECT name, digest FROM jobs WHERE digest IS NOT NULL

-- name: record_file
-- What has come in, and of the rest what stands in `jobs`, without what the file does not list.  A
-- file that is known, but of which the definitions are forgotten, has them again.
WITH names AS (
    SELECT name, digest FROM pg_temp.incoming
     UNION ALL
    SELECT j.name, j.digest FROM jobs AS j
     WHERE NOT EXISTS (SELECT FROM pg_temp.incoming AS i WHERE i.name = j.name)
       AND NOT EXISTS (SELECT FROM pg_catalog.unnest(%(others)s::text[]) AS o (name)
                        WHERE o.name = j.name)
)
INSERT INTO kronii_files (digest, first_seen, definitions)
SELECT %(digest)s, %(now)s, pg_catalog.array_agg(d.id ORDER BY d.id)
  FROM names JOIN kronii_definitions AS d ON d.name = names.name AND d.digest = names.digest
    ON CONFLICT (digest) DO UPDATE SET definitions = EXCLUDED.definitions
RETURNING id, pg_catalog.cardinality(definitions)

-- name: adopt_definitions
-- What an earlier release has registered: all that can be known of what it holds stands in `jobs`.
INSERT INTO kronii_definitions (name, digest, cron, timezone, catch_up, description, splay, enabled,
                                first_seen)
SELECT j.name, j.digest, j.cron, j.timezone, j.catch_up, j.description,
       extract(epoch FROM j.splay)::float8, j.enabled, %(now)s
  FROM jobs AS j
 WHERE j.digest IS NOT NULL AND j.retired_at IS NULL
   AND NOT EXISTS (SELECT FROM kronii_definitions AS d
                    WHERE d.name = j.name AND d.digest = j.digest)
 ORDER BY j.version, j.name

-- == who holds what ===============================================================================

-- name: held_files
-- The files that live instances hold; whether one holds what nobody knows (an earlier release, or a
-- file whose definitions are forgotten); whether we live; whether the table says which file we
-- hold; and the latest registration.
WITH live AS MATERIALIZED (
    SELECT n.id, n.file, COALESCE(pg_catalog.cardinality(f.definitions), 0) = 0 AS unknown
      FROM nodes AS n LEFT JOIN kronii_files AS f ON f.id = n.file
     WHERE NOT @has_gone(n) OR n.died_at IS NULL AND @just_come
)
SELECT ARRAY(SELECT DISTINCT file FROM live
              WHERE NOT unknown AND id <> %(id)s::uuid ORDER BY file),
       EXISTS (SELECT FROM live WHERE unknown AND id <> %(id)s::uuid),
       EXISTS (SELECT FROM live WHERE id = %(id)s::uuid),
       EXISTS (SELECT FROM live WHERE id = %(id)s::uuid AND file = %(file)s),
       (SELECT last_value FROM jobs_version)

-- name: hold_file
UPDATE nodes SET file = %(file)s
 WHERE id = %(id)s AND file IS DISTINCT FROM %(file)s::int

-- == what is in force =============================================================================

-- name: differences
-- Of a job's definitions that live instances hold the one that was seen first latest is in force;
-- here are the jobs of which the table says otherwise.  Without a definition: nobody lists it.
WITH held AS MATERIALIZED (
    SELECT pg_catalog.unnest(f.definitions) AS id, f.id AS file FROM kronii_files AS f
     WHERE f.id = ANY (%(files)s::int[])
     UNION ALL
    SELECT d.id, NULL FROM jobs AS j JOIN kronii_definitions AS d
        ON d.name = j.name AND d.digest = j.digest
     WHERE %(unknown)s AND j.retired_at IS NULL
), latest AS MATERIALIZED (
    SELECT DISTINCT ON (d.name) d.*, held.file
      FROM held JOIN kronii_definitions AS d ON d.id = held.id
     ORDER BY d.name, d.id DESC, held.file DESC NULLS LAST
)
SELECT d.name, d.cron, d.timezone, d.enabled, d.digest, d.file,
       j.id::text, j.name, j.cron, j.timezone, j.digest, j.retired_at IS NOT NULL, j.next_run,
       j.version, j.zone_rules
  FROM latest AS d FULL JOIN jobs AS j ON j.name = d.name
 WHERE d.name IS NULL AND j.retired_at IS NULL
    OR d.name IS NOT NULL AND (j.retired_at IS NOT NULL OR j.digest IS DISTINCT FROM d.digest)

-- name: lock_jobs
-- All that a registration changes or retires, before it does.  In an order, so that two who do this
-- never wait for each other.
SELECT FROM jobs WHERE id = ANY (%(ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE

-- name: settling
CREATE TEMPORARY TABLE settling (
    name TEXT PRIMARY KEY, digest TEXT, file INTEGER, next_run TIMESTAMP, zone_rules TEXT,
    rescheduled BOOLEAN
) ON COMMIT DROP

-- name: copy_settling
-- Sent by `copy` of the driver, not by `run`.
COPY pg_temp.settling FROM STDIN

-- name: settle_changed
-- `next_run` in the event's details is the tick at which the job stood: where the schedule is
-- another one, that and all from there to here are given up.
WITH changed AS (
    UPDATE jobs AS j
       SET cron = d.cron, timezone = d.timezone, catch_up = d.catch_up,
           description = d.description, splay = @seconds(d.splay), enabled = d.enabled,
           digest = d.digest, version = %(version)s, retired_at = NULL,
           next_run = CASE WHEN s.rescheduled THEN s.next_run ELSE j.next_run END,
           zone_rules = CASE WHEN s.rescheduled THEN s.zone_rules ELSE j.zone_rules END,
           scheduled_since = CASE WHEN s.rescheduled THEN %(now)s ELSE j.scheduled_since END,
           attempt  = CASE WHEN s.rescheduled THEN 0 ELSE j.attempt END,
           failures = CASE WHEN s.rescheduled THEN 0 ELSE j.failures END,
           deaths   = CASE WHEN s.rescheduled THEN 0 ELSE j.deaths END,
           missed   = CASE WHEN s.rescheduled THEN 0 ELSE j.missed END,
           retry_at = CASE WHEN s.rescheduled THEN NULL ELSE j.retry_at END,
           status = CASE WHEN j.owner IS NOT NULL THEN 'running'
                         WHEN j.paused_at IS NOT NULL OR NOT d.enabled THEN 'paused'
                         WHEN j.status IN ('paused', 'retired') THEN 'pending'
                         ELSE j.status END
      FROM pg_temp.settling AS s
      JOIN kronii_definitions AS d ON d.name = s.name AND d.digest = s.digest
      JOIN jobs AS had ON had.name = s.name
     WHERE j.id = had.id
    RETURNING j.id, j.cron, j.timezone, s.rescheduled, had.cron AS cron_had,
              had.timezone AS timezone_had, had.next_run AS next_run_had,
              had.retired_at IS NOT NULL AS came_back
)
INSERT INTO kronii_events (at, what, job_id, who, details)
SELECT %(now)s, CASE WHEN came_back THEN 'came_back' ELSE 'changed' END, id, %(node)s,
       pg_catalog.jsonb_build_object(
           'cron', cron, 'timezone', timezone, 'rescheduled', rescheduled,
           'was', pg_catalog.jsonb_build_object('cron', cron_had, 'timezone', timezone_had,
                                                'next_run', next_run_had))
  FROM changed

-- name: settle_new
-- With its first stretch.
WITH new AS (
    INSERT INTO jobs (name, cron, timezone, catch_up, description, splay, enabled, digest, next_run,
                      zone_rules, status, version, scheduled_since)
    SELECT d.name, d.cron, d.timezone, d.catch_up, d.description, @seconds(d.splay), d.enabled,
           d.digest, s.next_run, s.zone_rules, CASE WHEN d.enabled THEN 'pending' ELSE 'paused' END,
           %(version)s, %(now)s
      FROM pg_temp.settling AS s
      JOIN kronii_definitions AS d ON d.name = s.name AND d.digest = s.digest
     WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.name = s.name)
    RETURNING id, name, digest, cron, timezone
), opened AS (
    INSERT INTO kronii_in_force (job_id, since, definition, file)
    SELECT new.id, %(now)s, d.id, s.file
      FROM new
      JOIN pg_temp.settling AS s ON s.name = new.name
      JOIN kronii_definitions AS d ON d.name = new.name AND d.digest = new.digest
)
INSERT INTO kronii_events (at, what, job_id, who, details)
SELECT %(now)s, 'defined', id, %(node)s,
       pg_catalog.jsonb_build_object('cron', cron, 'timezone', timezone)
  FROM new

-- name: retire
-- No live instance's file lists them: the row and its history stay, and it comes back when one
-- does.  Without a digest nobody claims it, as nobody claims a row that was inserted by hand.
WITH had AS MATERIALIZED (
    SELECT id, cron, timezone, next_run FROM jobs WHERE id = ANY (%(ids)s::uuid[])
), retired AS (
    UPDATE jobs AS j
       SET retired_at = %(now)s, digest = NULL, version = %(version)s, next_run = NULL,
           retry_at = NULL, manual_at = NULL, attempt = 0, failures = 0, deaths = 0, missed = 0,
           status = CASE WHEN j.owner IS NULL THEN 'retired' ELSE j.status END
      FROM had WHERE j.id = had.id
)
INSERT INTO kronii_events (at, what, job_id, who, details)
SELECT %(now)s, 'retired', id, %(node)s,
       pg_catalog.jsonb_build_object(
           'was', pg_catalog.jsonb_build_object('cron', cron, 'timezone', timezone,
                                                'next_run', next_run))
  FROM had

-- name: close_stretches
-- Of jobs that a registration has changed from this version on.  No two stretches of a job have one
-- beginning, whatever the clock does.
UPDATE kronii_in_force AS f
   SET until = GREATEST(%(now)s::timestamp, f.since + INTERVAL '1 us')
  FROM jobs AS j
 WHERE j.version >= %(version)s AND f.job_id = j.id AND f.until IS NULL
   AND NOT EXISTS (SELECT FROM kronii_definitions AS d
                    WHERE d.id = f.definition AND d.digest = j.digest)

-- name: open_stretches
WITH its AS MATERIALIZED (
    SELECT j.id, j.name, j.digest, max(f.until) AS last,
           bool_or(f.job_id IS NOT NULL AND f.until IS NULL) AS is_open
      FROM jobs AS j LEFT JOIN kronii_in_force AS f ON f.job_id = j.id
     WHERE j.version >= %(version)s AND j.retired_at IS NULL
     GROUP BY j.id
)
INSERT INTO kronii_in_force (job_id, since, definition, file)
SELECT its.id, GREATEST(%(now)s::timestamp, its.last), d.id, s.file
  FROM its
  JOIN kronii_definitions AS d ON d.name = its.name AND d.digest = its.digest
  LEFT JOIN pg_temp.settling AS s ON s.name = its.name AND s.digest = its.digest
 WHERE NOT its.is_open

-- name: settled_jobs
-- The rows as this registration has left them.
SELECT id::text, name, cron, timezone, digest, retired_at IS NOT NULL, next_run, version, zone_rules
  FROM jobs WHERE version = %(version)s

-- == the end of old history =======================================================================

-- name: forget_stretches
-- Those that are over; what is in force stays.
WITH old AS MATERIALIZED (
    SELECT job_id, since FROM kronii_in_force
     WHERE until < @now_utc - @seconds(%(keep)s)
     ORDER BY until LIMIT %(batch)s FOR UPDATE SKIP LOCKED
)
DELETE FROM kronii_in_force AS f USING old WHERE f.job_id = old.job_id AND f.since = old.since

-- name: forget_files
-- Which definitions are in files that nobody holds.  That they were seen, and when, stays: so a
-- file that comes back after years is known as an old one.
UPDATE kronii_files AS f SET definitions = '{}'
 WHERE f.first_seen < @now_utc - @seconds(%(keep)s) AND pg_catalog.cardinality(f.definitions) > 0
   AND NOT EXISTS (SELECT FROM nodes AS n WHERE n.file = f.id)
