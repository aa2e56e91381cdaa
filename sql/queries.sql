-- Every statement of the running service, each under the name of the method that runs it.
-- "now" is statement_timestamp() in UTC: the database's clock decides what is due, on every instance alike.

-- name: register_node
INSERT INTO nodes (id, name, pid, host, version, workers, backend_pid, started_at, ready_at, lease_until, timeline)
SELECT %(id)s, %(name)s, %(pid)s, %(host)s, %(version)s, %(workers)s, pg_backend_pid(), now, now, now + %(lease)s * INTERVAL '1 s',
       %(timeline)s
  FROM (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now) AS clock

-- name: name_session
-- A new life has a new name in pg_stat_activity.
SELECT set_config('application_name', %(name)s, false)

-- name: renew
-- On the same live session the renewal is unconditional: a step of the server's clock must not end a lease that is being kept.
UPDATE nodes SET lease_until = clock_timestamp() AT TIME ZONE 'UTC' + %(lease)s * INTERVAL '1 s'
 WHERE id = %(id)s AND died_at IS NULL
RETURNING id

-- name: resume_lease
-- On a new session only a lease that still stands may be renewed; the session before this one is ended, with its locks.
WITH held AS (
    SELECT id, backend_pid FROM nodes
     WHERE id = %(id)s AND died_at IS NULL AND lease_until > clock_timestamp() AT TIME ZONE 'UTC'
       FOR UPDATE
), ended AS MATERIALIZED (
    SELECT a.pid, pg_terminate_backend(a.pid) AS done
      FROM held JOIN pg_stat_activity AS a ON a.pid = held.backend_pid
     WHERE a.application_name = %(application)s AND a.datname = current_database() AND a.pid <> pg_backend_pid()
)
UPDATE nodes AS n
   SET lease_until = clock_timestamp() AT TIME ZONE 'UTC' + %(lease)s * INTERVAL '1 s',
       ready_at = clock_timestamp() AT TIME ZONE 'UTC',
       backend_pid = pg_backend_pid(), timeline = %(timeline)s
  FROM held
 WHERE n.id = held.id
RETURNING (SELECT count(*) FROM ended)

-- name: failed_over
-- True if somebody's lease is from before a failover: a claim that was not replicated may still be running there.
SELECT EXISTS (SELECT FROM nodes WHERE timeline NOT IN ('', %(timeline)s) AND died_at IS NULL)

-- name: reacquire
-- The locks of runs that go on, taken by the new session.
SELECT run FROM unnest(%(runs)s::bigint[], %(keys)s::bigint[]) AS wanted (run, key) WHERE pg_try_advisory_lock(key)

-- name: unlock
SELECT count(*) FROM unnest(%(keys)s::bigint[]) AS freed (key) WHERE pg_advisory_unlock(key)

-- name: release
-- Claims of ours whose answer never reached us: nothing was started, so they are free again.
WITH unknown AS (
    SELECT id, run_id FROM jobs
     WHERE owner = %(id)s AND run_id <> ALL (%(runs)s::bigint[])
       FOR UPDATE
), freed AS (
    UPDATE jobs AS j
       SET owner = NULL, status = CASE WHEN j.retired_at IS NOT NULL THEN 'retired' WHEN j.paused_at IS NOT NULL OR NOT j.enabled THEN 'paused'
                                       ELSE 'pending' END
      FROM unknown WHERE j.id = unknown.id
    RETURNING unknown.run_id
)
UPDATE runs AS r
   SET outcome = 'lost', finished_at = statement_timestamp() AT TIME ZONE 'UTC', error = 'the connection broke before the run began'
  FROM freed WHERE r.id = freed.run_id AND r.outcome = 'running'
RETURNING r.id

-- name: claim
-- Rows first, then locks over the materialized rows (a lock in a filter is taken for rows that are then dropped), then the claim.
-- Ticks of this second come before a backlog, which has the places that `fresh` leaves, as far as it fills them; all are short walks
-- along one index.
WITH backlog AS MATERIALIZED (
    SELECT count(*) AS ticks
      FROM (SELECT FROM jobs
             WHERE active
               AND due <= statement_timestamp() AT TIME ZONE 'UTC' - INTERVAL '1 s'
               AND owner IS NULL AND digest IS NOT NULL AND version <= %(version)s AND id <> ALL (%(deferred)s::uuid[])
             LIMIT %(seats)s - %(fresh)s) AS its
), fresh AS MATERIALIZED (
    SELECT id, lock_key, due, run_id AS previous FROM jobs
     WHERE active
       AND due > statement_timestamp() AT TIME ZONE 'UTC' - INTERVAL '1 s'
       AND due <= statement_timestamp() AT TIME ZONE 'UTC'
       AND owner IS NULL AND digest IS NOT NULL AND version <= %(version)s AND id <> ALL (%(deferred)s::uuid[])
       AND (SELECT died_at IS NULL FROM nodes WHERE id = %(id)s)  -- who was taken for dead claims nothing
     ORDER BY due LIMIT %(seats)s - (SELECT ticks FROM backlog) FOR UPDATE SKIP LOCKED
), overdue AS MATERIALIZED (
    SELECT id, lock_key, due, run_id AS previous FROM jobs
     WHERE active
       AND due <= statement_timestamp() AT TIME ZONE 'UTC' - INTERVAL '1 s'
       AND owner IS NULL AND digest IS NOT NULL AND version <= %(version)s AND id <> ALL (%(deferred)s::uuid[])
       AND (SELECT died_at IS NULL FROM nodes WHERE id = %(id)s)  -- who was taken for dead claims nothing
     ORDER BY due LIMIT %(seats)s - (SELECT count(*) FROM fresh) FOR UPDATE SKIP LOCKED
), tried AS MATERIALIZED (
    SELECT id, lock_key, previous, pg_try_advisory_lock(lock_key) AS locked
      FROM (SELECT * FROM fresh UNION ALL SELECT * FROM overdue) AS picked
), claimed AS (
    UPDATE jobs AS j
       SET status = 'running', owner = %(id)s, run_id = nextval('runs_id_seq'),
           last_run = statement_timestamp() AT TIME ZONE 'UTC',
           attempt = j.attempt + (j.manual_at IS NULL)::int
      FROM tried
     WHERE tried.locked AND j.id = tried.id
    RETURNING j.id, j.lock_key, j.run_id, j.failures,
              CASE WHEN j.manual_at IS NULL THEN j.attempt
                   ELSE 1 + COALESCE((SELECT r.attempt FROM runs AS r WHERE r.id = tried.previous AND r.trigger = 'manual'
                                                                        AND r.scheduled_for = j.manual_at), 0) END AS attempt,
              CASE WHEN j.manual_at IS NULL THEN j.missed ELSE 0 END AS missed,
              COALESCE(j.manual_at, j.next_run) AS scheduled_for,
              CASE WHEN j.manual_at IS NOT NULL THEN 'manual' WHEN j.attempt = 1 THEN 'schedule'
                   WHEN j.retry_at IS NOT NULL THEN 'retry' ELSE 'recovery' END AS trigger
), started AS (
    INSERT INTO runs (id, job_id, scheduled_for, attempt, trigger, node, started_at, outcome, missed)
    SELECT run_id, id, scheduled_for, attempt, trigger, %(node)s, statement_timestamp() AT TIME ZONE 'UTC', 'running', missed
      FROM claimed
)
SELECT id::text, lock_key, run_id, scheduled_for, attempt, trigger, failures, missed FROM claimed
 UNION ALL
SELECT id::text, lock_key, NULL, NULL, NULL, NULL, NULL, NULL FROM tried WHERE NOT locked

-- name: upcoming
-- What the loop must know to sleep well.
SELECT statement_timestamp() AT TIME ZONE 'UTC',
       (SELECT min(due) FROM jobs WHERE active AND due > statement_timestamp() AT TIME ZONE 'UTC'),
       (SELECT min(LEAST(lease_until, died_at)) FROM nodes WHERE id <> %(id)s),
       (SELECT min(ready_at) FROM nodes WHERE lease_until > statement_timestamp() AT TIME ZONE 'UTC'),
       (SELECT last_value FROM jobs_version)

-- name: recover
-- Rows of instances whose lease is over, or whose row is gone, and whose lock is free: their runs are lost, their ticks due again.
-- A lock that is held means that the holder is connected: its row is left alone.
-- A timeout that was marked before its run returned is no outcome yet: the claim still stands, and the tick is run again.
WITH orphaned AS MATERIALIZED (
    SELECT j.id, j.lock_key, j.run_id, j.owner, j.deaths FROM jobs AS j
     WHERE j.active AND j.due <= statement_timestamp() AT TIME ZONE 'UTC' AND j.owner <> %(id)s
       -- A subquery, for a join would be told an owner that changed meanwhile from the row of the one before.
       AND COALESCE((SELECT n.died_at IS NOT NULL
                         OR n.lease_until <= statement_timestamp() AT TIME ZONE 'UTC' - %(grace)s * INTERVAL '1 s'
                       FROM nodes AS n WHERE n.id = j.owner), true)
       FOR UPDATE OF j SKIP LOCKED
), free AS MATERIALIZED (
    SELECT tried.id, tried.run_id, tried.deaths, COALESCE(n.name, 'that owned it') AS name,
           -- A run that its instance ended before it went is no death.
           COALESCE(r.outcome <> 'interrupted', true) AS died
      FROM (SELECT *, pg_try_advisory_xact_lock(lock_key) AS locked FROM orphaned) AS tried
      LEFT JOIN nodes AS n ON n.id = tried.owner LEFT JOIN runs AS r ON r.id = tried.run_id
     WHERE locked
), judged AS (
    SELECT *, died AND %(quarantine)s > 0 AND deaths + 1 >= %(quarantine)s AS deadly FROM free
), freed AS (
    UPDATE jobs AS j
       SET owner = NULL, deaths = j.deaths + died::int, retry_at = NULL,
           manual_at = CASE WHEN NOT deadly THEN j.manual_at END,
           status = CASE WHEN deadly OR j.paused_at IS NOT NULL OR NOT j.enabled THEN 'paused' ELSE 'pending' END,
           paused_at = CASE WHEN deadly THEN statement_timestamp() AT TIME ZONE 'UTC' ELSE j.paused_at END,
           pause_reason = CASE WHEN deadly THEN 'quarantined: ' || (j.deaths + 1) || ' instances died while they ran this tick'
                               ELSE j.pause_reason END
      FROM judged WHERE j.id = judged.id
    RETURNING j.id, j.name, judged.run_id, judged.name AS node, deadly AS quarantined
), lost AS (
    UPDATE runs AS r
       SET outcome = 'lost', finished_at = statement_timestamp() AT TIME ZONE 'UTC', error = 'instance ' || freed.node || ' died'
      FROM freed WHERE r.id = freed.run_id AND r.outcome IN ('running', 'timeout')
)
SELECT name, run_id, node, quarantined FROM freed

-- name: sweep
-- The last of a dead instance: claims that no longer are due (paused or retired meanwhile), then its own row.
-- One that is connected is alive, whatever a step of the clock makes of its lease.
WITH dead AS MATERIALIZED (
    SELECT id, name FROM nodes AS n
     WHERE id <> %(id)s
       AND (died_at IS NOT NULL
            OR lease_until <= statement_timestamp() AT TIME ZONE 'UTC' - %(grace)s * INTERVAL '1 s'
               AND NOT EXISTS (SELECT FROM pg_stat_activity AS a
                                WHERE a.pid = n.backend_pid AND a.application_name = left('kronii ' || n.id, 63)))
), idle AS MATERIALIZED (
    SELECT j.id, j.run_id, dead.name FROM jobs AS j JOIN dead ON dead.id = j.owner
     WHERE NOT j.active OR j.due IS NULL OR j.due > statement_timestamp() AT TIME ZONE 'UTC'
       FOR UPDATE OF j SKIP LOCKED
), freed AS (
    UPDATE jobs AS j
       SET owner = NULL, status = CASE WHEN j.retired_at IS NOT NULL THEN 'retired' WHEN j.paused_at IS NOT NULL OR NOT j.enabled THEN 'paused'
                                       ELSE 'pending' END
      FROM idle WHERE j.id = idle.id
    RETURNING idle.run_id, idle.name
), lost AS (
    UPDATE runs AS r
       SET outcome = 'lost', finished_at = statement_timestamp() AT TIME ZONE 'UTC', error = 'instance ' || freed.name || ' died'
      FROM freed WHERE r.id = freed.run_id AND r.outcome IN ('running', 'timeout')
)
DELETE FROM nodes USING dead
 WHERE nodes.id = dead.id
   AND (died_at IS NOT NULL OR lease_until <= statement_timestamp() AT TIME ZONE 'UTC' - %(grace)s * INTERVAL '1 s')
   AND (SELECT count(*) FROM jobs WHERE owner = nodes.id) = 0
RETURNING dead.name

-- name: move
-- Under `catch_up: latest` one run stands for all the ticks that were missed: it becomes the run of the latest of them.
WITH moved AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(runs)s::bigint[], %(olds)s::timestamp[], %(ticks)s::timestamp[], %(missed)s::int[])
                  AS m (id, run_id, old, tick, missed)
), ticks AS (
    UPDATE jobs AS j SET next_run = m.tick, missed = m.missed
      FROM moved AS m WHERE j.id = m.id AND j.run_id = m.run_id AND j.owner = %(id)s AND j.next_run = m.old
    RETURNING m.run_id, m.tick, m.missed
)
UPDATE runs AS r SET scheduled_for = m.tick, missed = m.missed
  FROM ticks AS m WHERE r.id = m.run_id
RETURNING r.id

-- name: finish
-- Compare and set: the outcome counts only if the claim is still the one that the run was started under.
-- What `recorded` needs comes with the rows of `closed`: the planner takes those for one row, and joins by comparing each with each.
WITH ended AS MATERIALIZED (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(runs)s::bigint[], %(owners)s::uuid[], %(triggers)s::text[], %(outcomes)s::text[], %(codes)s::int[], %(errors)s::text[],
        %(outputs)s::text[], %(ages)s::float8[], %(ticks)s::timestamp[], %(nexts)s::timestamp[], %(delays)s::float8[], %(settled)s::boolean[],
        %(shown)s::timestamp[], %(missed)s::int[])
      AS e (id, run_id, owner, trigger, outcome, exit_code, error, output, age, tick, next_run, delay, settled, scheduled_for, missed)
), closed AS (
    UPDATE jobs AS j
       SET owner = NULL,
           last_outcome = e.outcome,
           manual_at = CASE WHEN e.trigger = 'manual' AND e.settled THEN NULL ELSE j.manual_at END,
           status = CASE WHEN j.retired_at IS NOT NULL THEN 'retired' WHEN j.paused_at IS NOT NULL OR NOT j.enabled THEN 'paused'
                         WHEN e.outcome = 'success' THEN 'success' WHEN e.outcome IN ('interrupted', 'skipped') THEN 'pending' ELSE 'failed' END,
           next_run = CASE WHEN e.settled AND e.trigger <> 'manual' AND j.next_run = e.tick THEN e.next_run ELSE j.next_run END,
           attempt = CASE WHEN e.settled AND e.trigger <> 'manual' THEN 0 ELSE j.attempt END,
           failures = CASE WHEN e.trigger = 'manual' THEN j.failures WHEN e.settled THEN 0
                           WHEN e.delay IS NOT NULL AND e.outcome <> 'interrupted' AND j.next_run = e.tick THEN j.failures + 1
                           ELSE j.failures END,
           deaths = CASE WHEN e.outcome = 'interrupted' THEN j.deaths ELSE 0 END,
           missed = CASE WHEN e.settled AND e.trigger <> 'manual' THEN 0 ELSE j.missed END,
           retry_at = CASE WHEN e.trigger = 'manual' THEN j.retry_at
                           WHEN j.next_run = e.tick THEN statement_timestamp() AT TIME ZONE 'UTC' + e.delay * INTERVAL '1 s' END
      FROM ended AS e
     WHERE j.id = e.id AND j.run_id = e.run_id AND j.owner = e.owner
    RETURNING e.run_id, e.outcome, e.exit_code, e.error, e.output, e.age, e.scheduled_for, e.missed
), recorded AS (
    UPDATE runs AS r
       SET outcome = CASE r.outcome WHEN 'running' THEN c.outcome ELSE r.outcome END,
           finished_at = COALESCE(r.finished_at, statement_timestamp() AT TIME ZONE 'UTC' - c.age * INTERVAL '1 s'),
           exit_code = c.exit_code, error = COALESCE(r.error, c.error), output = c.output,
           scheduled_for = c.scheduled_for, missed = c.missed
      FROM closed AS c
     WHERE r.id = c.run_id
), skipped AS (
    INSERT INTO runs (job_id, scheduled_for, attempt, trigger, node, finished_at, outcome, missed)
    SELECT s.id, s.tick, 1, 'schedule', %(node)s, statement_timestamp() AT TIME ZONE 'UTC', 'skipped', s.missed
      FROM unnest(%(skipped_ids)s::uuid[], %(skipped_runs)s::bigint[], %(skipped_ticks)s::timestamp[], %(skipped_missed)s::int[])
           AS s (id, run_id, tick, missed)
     WHERE (s.run_id IN (SELECT run_id FROM closed)) IS TRUE  -- hashed: as a join it would compare each with each
)
SELECT run_id FROM closed

-- name: recorded
-- Which of these runs have an outcome already: an answer that was lost on its way looks like a refused finish.
SELECT id FROM runs WHERE id = ANY (%(runs)s::bigint[]) AND outcome NOT IN ('running', 'lost')

-- name: announce
-- A run that goes on though its outcome is known (past its timeout, or at the end of its instance): its claim and its lock stay.
UPDATE runs AS r
   SET outcome = %(outcome)s, finished_at = statement_timestamp() AT TIME ZONE 'UTC', error = m.error
  FROM unnest(%(runs)s::bigint[], %(errors)s::text[]) AS m (id, error)
 WHERE r.id = m.id AND r.outcome = 'running'
RETURNING r.id

-- name: leave
-- A clean exit: rivals need not wait for the lease.
DELETE FROM nodes WHERE id = %(id)s

-- name: forget
-- One short walk along the oldest runs: ids grow with time, so where none of them is old, nothing behind them is.
WITH oldest AS MATERIALIZED (
    SELECT id, finished_at, outcome FROM runs WHERE id > %(after)s ORDER BY id LIMIT %(batch)s
), gone AS (
    DELETE FROM runs USING oldest
     WHERE runs.id = oldest.id AND oldest.outcome <> 'running'
       AND oldest.finished_at < statement_timestamp() AT TIME ZONE 'UTC' - %(keep)s * INTERVAL '1 s'
    RETURNING runs.id
)
SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM oldest)

-- name: definitions
-- Rows as the registrations left them.
SELECT id::text, name, cron, timezone, digest, retired_at IS NOT NULL, next_run, version FROM jobs

-- name: changes
-- What other instances have registered since; paused rows too, for one that is resumed carries no new version.
SELECT id::text, name, digest, version FROM jobs WHERE version > %(version)s

-- name: incoming
CREATE TEMPORARY TABLE incoming (
    name TEXT PRIMARY KEY, cron TEXT, timezone TEXT, catch_up TEXT, description TEXT, splay DOUBLE PRECISION, enabled BOOLEAN,
    digest TEXT, next_run TIMESTAMP, rescheduled BOOLEAN
) ON COMMIT DROP

-- name: register_changed
UPDATE jobs AS j
   SET cron = i.cron, timezone = i.timezone, catch_up = i.catch_up, description = i.description,
       splay = i.splay * INTERVAL '1 s', enabled = i.enabled, digest = i.digest, version = %(version)s, retired_at = NULL,
       next_run = CASE WHEN i.rescheduled THEN i.next_run ELSE j.next_run END,
       scheduled_since = CASE WHEN i.rescheduled THEN statement_timestamp() AT TIME ZONE 'UTC' ELSE j.scheduled_since END,
       attempt  = CASE WHEN i.rescheduled THEN 0 ELSE j.attempt END,
       failures = CASE WHEN i.rescheduled THEN 0 ELSE j.failures END,
       deaths   = CASE WHEN i.rescheduled THEN 0 ELSE j.deaths END,
       missed   = CASE WHEN i.rescheduled THEN 0 ELSE j.missed END,
       retry_at = CASE WHEN i.rescheduled THEN NULL ELSE j.retry_at END,
       status = CASE WHEN j.owner IS NOT NULL THEN 'running' WHEN j.paused_at IS NOT NULL OR NOT i.enabled THEN 'paused'
                     WHEN j.status IN ('paused', 'retired') THEN 'pending' ELSE j.status END
  FROM incoming AS i
 WHERE j.name = i.name

-- name: register_new
INSERT INTO jobs (name, cron, timezone, catch_up, description, splay, enabled, digest, next_run, status, version, scheduled_since)
SELECT name, cron, timezone, catch_up, description, splay * INTERVAL '1 s', enabled, digest, next_run,
       CASE WHEN enabled THEN 'pending' ELSE 'paused' END, %(version)s, statement_timestamp() AT TIME ZONE 'UTC'
  FROM incoming AS i
 WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.name = i.name)

-- name: retire
-- Gone from the file: the row and its history stay, and it comes back when the file names it again.  Without a digest nobody
-- claims it, as nobody claims a row that was inserted by hand.
UPDATE jobs
   SET retired_at = statement_timestamp() AT TIME ZONE 'UTC', digest = NULL, version = %(version)s, next_run = NULL, retry_at = NULL, manual_at = NULL,
       attempt = 0, failures = 0, deaths = 0, missed = 0,
       status = CASE WHEN owner IS NULL THEN 'retired' ELSE status END
 WHERE id = ANY (%(ids)s::uuid[])

-- name: list_jobs
SELECT name, cron, timezone, next_run, last_run, last_outcome, status, paused_at IS NOT NULL AS paused, pause_reason, enabled,
       retired_at IS NOT NULL AS retired, catch_up, description, (SELECT n.name FROM nodes AS n WHERE n.id = owner) AS node
  FROM jobs
 WHERE %(retired)s OR retired_at IS NULL
 ORDER BY name

-- name: list_runs
SELECT r.id, j.name AS job, r.scheduled_for, r.attempt, r.trigger, r.node, r.started_at, r.finished_at, r.outcome, r.exit_code, r.error,
       r.missed
  FROM runs AS r LEFT JOIN jobs AS j ON j.id = r.job_id
 WHERE (%(job)s::uuid IS NULL OR r.job_id = %(job)s)
   AND (%(outcome)s::text IS NULL OR r.outcome = %(outcome)s)
   AND (%(since)s::float8 IS NULL
        OR COALESCE(r.started_at, r.finished_at) >= statement_timestamp() AT TIME ZONE 'UTC' - %(since)s * INTERVAL '1 s')
 ORDER BY r.id DESC
 LIMIT %(limit)s

-- name: find_job
SELECT id::text FROM jobs WHERE name = %(name)s

-- name: run_output
SELECT output FROM runs WHERE id = %(run)s

-- name: pause
-- A run in progress goes on; a job that is paused already keeps its reason.
UPDATE jobs
   SET paused_at = COALESCE(paused_at, statement_timestamp() AT TIME ZONE 'UTC'), pause_reason = COALESCE(pause_reason, %(reason)s),
       status = CASE WHEN owner IS NULL THEN 'paused' ELSE status END
 WHERE name = ANY (%(names)s::text[]) AND retired_at IS NULL
RETURNING name

-- name: resume
-- Goes on from now: the tick that it stood at is given up, with all that had been tried for it.
UPDATE jobs AS j
   SET paused_at = NULL, pause_reason = NULL, next_run = r.next_run, scheduled_since = statement_timestamp() AT TIME ZONE 'UTC', retry_at = NULL, attempt = 0, failures = 0, deaths = 0, missed = 0,
       status = CASE WHEN j.owner IS NOT NULL THEN j.status WHEN NOT j.enabled THEN 'paused' ELSE 'pending' END
  FROM unnest(%(names)s::text[], %(nexts)s::timestamp[]) AS r (name, next_run)
 WHERE j.name = r.name AND j.paused_at IS NOT NULL
RETURNING j.name

-- name: standing
-- What an operator's command has to know of jobs before it does anything.
SELECT name, cron, timezone, enabled, owner IS NOT NULL AS running, manual_at IS NOT NULL AS triggered, paused_at IS NOT NULL AS paused,
       statement_timestamp() AT TIME ZONE 'UTC' AS now
  FROM jobs
 WHERE name = ANY (%(names)s::text[]) AND retired_at IS NULL

-- name: trigger
-- One run by hand; its tick is the moment at which it was asked for.
UPDATE jobs SET manual_at = date_trunc('milliseconds', statement_timestamp() AT TIME ZONE 'UTC')
 WHERE name = %(name)s AND retired_at IS NULL AND owner IS NULL AND manual_at IS NULL
RETURNING id::text, manual_at

-- name: triggered
-- The latest run of a tick.
SELECT id, outcome, error FROM runs
 WHERE job_id = %(id)s::uuid AND scheduled_for = %(tick)s AND trigger = 'manual'
 ORDER BY id DESC LIMIT 1

-- name: list_nodes
SELECT n.name, n.host, n.pid, n.version, n.workers, n.started_at, n.lease_until,
       n.died_at IS NULL AND n.lease_until > statement_timestamp() AT TIME ZONE 'UTC' AS alive,
       ARRAY(SELECT j.name FROM jobs AS j WHERE j.owner = n.id ORDER BY j.name) AS running
  FROM nodes AS n
 ORDER BY n.name, n.started_at

-- name: list_locks
-- Advisory locks of jobs, and who holds each (pg_locks splits a bigint key into two halves).
SELECT j.name AS job, l.pid AS backend, a.application_name AS application, n.name AS node
  FROM pg_locks AS l
  JOIN jobs AS j ON j.lock_key = (l.classid::bigint << 32) | l.objid::bigint
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
  LEFT JOIN nodes AS n ON n.backend_pid = l.pid
 WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 ORDER BY j.name

-- name: audited_jobs
SELECT id::text, name, cron, timezone, scheduled_since, next_run, due, active, owner IS NOT NULL AS running
  FROM jobs
 WHERE retired_at IS NULL AND enabled
 ORDER BY name

-- name: audited_runs
SELECT job_id::text, id, scheduled_for AS tick, attempt, outcome, missed
  FROM runs
 WHERE scheduled_for >= %(start)s AND trigger <> 'manual'
 ORDER BY id
