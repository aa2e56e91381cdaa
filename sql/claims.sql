-- What an instance claims, finds and gives back.

-- name: reacquire
-- The locks of runs that go on, taken by the new session.
SELECT run FROM unnest(%(runs)s::bigint[], %(keys)s::bigint[]) AS wanted (run, key)
 WHERE pg_try_advisory_lock(key)

-- name: unlock
SELECT count(*) FROM pg_catalog.unnest(%(keys)s::bigint[]) AS freed (key)
 WHERE pg_advisory_unlock(key)

-- name: release
-- Claims of ours whose answer never reached us: nothing was started, so they are free again.
WITH unknown AS (
    SELECT id, run_id FROM jobs
     WHERE owner = %(id)s AND run_id <> ALL (%(runs)s::bigint[])
       FOR UPDATE
), freed AS (
    UPDATE jobs AS j SET owner = NULL, status = @resting_status('pending')
      FROM unknown WHERE j.id = unknown.id
    RETURNING unknown.run_id
)
UPDATE runs AS r
   SET outcome = 'lost', finished_at = @now_utc,
       error = 'the connection broke before the run began'
  FROM freed WHERE r.id = freed.run_id AND r.outcome = 'running'
RETURNING r.id

-- name: claim
-- Rows first, then locks over the materialized rows (a lock in a filter is taken for rows that are
-- then dropped), then the claim.  Ticks of this second come before a backlog, which has the places
-- that `fresh` leaves, as far as it fills them; all are short walks along one index.
WITH backlog AS MATERIALIZED (
    SELECT count(*) AS ticks
      FROM (SELECT FROM jobs
             WHERE @claimable AND due <= @now_utc - INTERVAL '1 s'
             LIMIT %(seats)s - %(fresh)s) AS its
), fresh AS MATERIALIZED (
    SELECT id, lock_key, due, run_id AS previous FROM jobs
     WHERE @claimable AND due > @now_utc - INTERVAL '1 s' AND due <= @now_utc
       AND (SELECT died_at IS NULL FROM nodes WHERE id = %(id)s)  -- the dead claim nothing
     ORDER BY due LIMIT %(seats)s - (SELECT ticks FROM backlog) FOR UPDATE SKIP LOCKED
), overdue AS MATERIALIZED (
    SELECT id, lock_key, due, run_id AS previous FROM jobs
     WHERE @claimable AND due <= @now_utc - INTERVAL '1 s'
       AND (SELECT died_at IS NULL FROM nodes WHERE id = %(id)s)  -- the dead claim nothing
     ORDER BY due LIMIT %(seats)s - (SELECT count(*) FROM fresh) FOR UPDATE SKIP LOCKED
), tried AS MATERIALIZED (
    SELECT id, lock_key, previous, pg_try_advisory_lock(lock_key) AS locked
      FROM (SELECT * FROM fresh UNION ALL SELECT * FROM overdue) AS picked
), claimed AS (
    UPDATE jobs AS j
       SET status = 'running', owner = %(id)s, run_id = nextval('runs_id_seq'::regclass),
           last_run = @now_utc, attempt = j.attempt + (j.manual_at IS NULL)::int
      FROM tried
     WHERE tried.locked AND j.id = tried.id
    RETURNING j.id, j.lock_key, j.run_id, j.failures,
              CASE WHEN j.manual_at IS NULL THEN j.attempt
                   ELSE 1 + COALESCE((SELECT r.attempt FROM runs AS r
                                       WHERE r.id = tried.previous AND r.trigger = 'manual'
                                         AND r.scheduled_for = j.manual_at), 0) END AS attempt,
              CASE WHEN j.manual_at IS NULL THEN j.missed ELSE 0 END AS missed,
              COALESCE(j.manual_at, j.next_run) AS scheduled_for,
              CASE WHEN j.manual_at IS NOT NULL THEN 'manual' WHEN j.attempt = 1 THEN 'schedule'
                   WHEN j.retry_at IS NOT NULL THEN 'retry' ELSE 'recovery' END AS trigger
), started AS (
    INSERT INTO runs (id, job_id, scheduled_for, attempt, trigger, node, started_at, outcome,
                      missed)
    SELECT run_id, id, scheduled_for, attempt, trigger, %(node)s, @now_utc, 'running', missed
      FROM claimed
)
SELECT id::text, lock_key, run_id, scheduled_for, attempt, trigger, failures, missed FROM claimed
 UNION ALL
SELECT id::text, lock_key, NULL, NULL, NULL, NULL, NULL, NULL FROM tried WHERE NOT locked

-- name: upcoming
-- What the loop must know to sleep well.
SELECT @now_utc,
       (SELECT min(due) FROM jobs WHERE active AND due > @now_utc),
       (SELECT min(LEAST(lease_until, died_at)) FROM nodes WHERE id <> %(id)s),
       (SELECT min(ready_at) FROM nodes WHERE lease_until > @now_utc),
       (SELECT last_value FROM jobs_version)

-- name: recover
-- Rows of instances whose lease is over, or whose row is gone, and whose lock is free: their runs
-- are lost, their ticks due again.  A lock that is held means that the holder is connected: its row
-- is left alone.
WITH orphaned AS MATERIALIZED (
    SELECT j.id, j.lock_key, j.run_id, j.owner, j.deaths FROM jobs AS j
     WHERE j.active AND j.due <= @now_utc AND j.owner <> %(id)s
       -- A subquery: a join would judge an owner that changed meanwhile by its predecessor's row.
       AND COALESCE((SELECT n.died_at IS NOT NULL OR @lease_over(n)
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
           status = CASE WHEN deadly THEN 'paused' ELSE @resting_status('pending') END,
           paused_at = CASE WHEN deadly THEN @now_utc ELSE j.paused_at END,
           pause_reason = CASE WHEN deadly
                               THEN 'quarantined: ' || (j.deaths + 1)::text
                                    || ' instances died while they ran this tick'
                               ELSE j.pause_reason END
      FROM judged WHERE j.id = judged.id
    RETURNING j.id, j.name, judged.run_id, judged.name AS node, deadly AS quarantined
), lost AS (
    @record_lost_runs
)
SELECT name, run_id, node, quarantined FROM freed

-- name: move
-- Under `catch_up: latest` one run stands for all the ticks that were missed: it becomes the run of
-- the latest of them.
WITH moved AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(runs)s::bigint[], %(olds)s::timestamp[],
                         %(ticks)s::timestamp[], %(missed)s::int[])
                  AS m (id, run_id, old, tick, missed)
), ticks AS (
    UPDATE jobs AS j SET next_run = m.tick, missed = m.missed
      FROM moved AS m
     WHERE j.id = m.id AND j.run_id = m.run_id AND j.owner = %(id)s AND j.next_run = m.old
    RETURNING m.run_id, m.tick, m.missed
)
UPDATE runs AS r SET scheduled_for = m.tick, missed = m.missed
  FROM ticks AS m WHERE r.id = m.run_id
RETURNING r.id
