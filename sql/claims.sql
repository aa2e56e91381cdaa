-- What an instance claims, finds and gives back.

-- name: reacquire
-- The locks of runs that go on, taken by the new session.
SELECT run FROM unnest(%(runs)s::bigint[], %(keys)s::bigint[]) AS wanted (run, key)
 WHERE pg_try_advisory_lock(key)

-- name: unlock
SELECT count(*) FROM pg_catalog.unnest(%(keys)s::bigint[]) AS freed (key)
 WHERE pg_advisory_unlock(key)

-- name: release
-- Claims of ours whose answer never reached us: nothing was started, so they are free again.  Says
-- how many are left, for another session holds a row of theirs locked.
WITH unknown AS MATERIALIZED (
    SELECT id, run_id FROM jobs
     WHERE owner = %(id)s AND run_id <> ALL (%(runs)s::bigint[])
       FOR UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
    @locked_runs_of(unknown)
), freed AS (
    UPDATE jobs AS j SET owner = NULL, status = @resting_status('pending')
      FROM unknown
     WHERE j.id = unknown.id AND unknown.run_id NOT IN (SELECT id FROM locked)
    RETURNING unknown.run_id
), lost AS (
    UPDATE runs AS r
       SET outcome = 'lost', finished_at = @now_utc,
           error = 'the connection broke before the run began'
      FROM freed WHERE r.id = freed.run_id AND r.outcome = 'running'
)
SELECT count(*) - (SELECT count(*) FROM freed) FROM jobs
 WHERE owner = %(id)s AND run_id <> ALL (%(runs)s::bigint[])

-- name: claim
-- Rows first, then locks over the materialized rows (a lock in a filter is taken for rows that are
-- then dropped), then the claim.  Ticks of this second come before a backlog, which has the places
-- that `fresh` leaves, as far as it fills them; all are short walks along one index.  Of jobs that
-- may be what kills instances (`suspect` deaths or more) one is taken, the one that was started
-- last before the death, and beside it none that was aboard of any.
WITH backlog AS MATERIALIZED (
    SELECT count(*) AS ticks
      FROM (SELECT FROM jobs
             WHERE @claimable AND due <= @now_utc - INTERVAL '1 s'
             LIMIT %(seats)s - %(fresh)s) AS its
), fresh AS MATERIALIZED (
    SELECT id, lock_key, due, run_id AS previous, deaths FROM jobs
     WHERE @claimable AND due > @now_utc - INTERVAL '1 s' AND due <= @now_utc
       AND (SELECT died_at IS NULL FROM nodes WHERE id = %(id)s)  -- the dead claim nothing
     ORDER BY due LIMIT %(seats)s - (SELECT ticks FROM backlog) FOR UPDATE SKIP LOCKED
), overdue AS MATERIALIZED (
    SELECT id, lock_key, due, run_id AS previous, deaths FROM jobs
     WHERE @claimable AND due <= @now_utc - INTERVAL '1 s'
       AND (SELECT died_at IS NULL FROM nodes WHERE id = %(id)s)  -- the dead claim nothing
     ORDER BY due LIMIT %(seats)s - (SELECT count(*) FROM fresh) FOR UPDATE SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT * FROM fresh UNION ALL SELECT * FROM overdue
), tried_one AS MATERIALIZED (
    SELECT id FROM picked WHERE deaths >= %(suspect)s ORDER BY previous DESC LIMIT 1
), chosen AS MATERIALIZED (
    SELECT * FROM picked
     WHERE deaths = 0 OR id IN (SELECT id FROM tried_one) OR NOT EXISTS (SELECT FROM tried_one)
), tried AS MATERIALIZED (
    SELECT id, lock_key, previous, pg_try_advisory_lock(lock_key) AS locked FROM chosen
), claimed AS (
    UPDATE jobs AS j
       SET status = 'running', owner = %(id)s, run_id = nextval('runs_id_seq'::regclass),
           last_run = @now_utc, attempt = j.attempt + (j.manual_at IS NULL)::int
      FROM tried
     WHERE tried.locked AND j.id = tried.id
    RETURNING j.id, j.lock_key, j.run_id, j.failures, j.deaths,
              CASE WHEN j.deaths > 0 THEN extract(epoch FROM @trial(j))::float8 END AS trial,
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
SELECT id::text, 'claimed' AS state, lock_key, run_id, scheduled_for, attempt, trigger, failures,
       missed, deaths, trial
  FROM claimed
 UNION ALL
SELECT id::text, 'locked', lock_key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM tried WHERE NOT locked
 UNION ALL
SELECT id::text, 'apart', lock_key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM picked WHERE id NOT IN (SELECT id FROM chosen)

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
-- is left alone, and said.
--
-- A death counts for all that were aboard (`deaths`), but it convicts only the one that it singles
-- out: that was alone, or the only suspect, and no job that has never finished a run came later.
-- `aboard` is of the statement's snapshot, so that of two who recover at once both see all of them.
WITH orphaned AS MATERIALIZED (
    SELECT j.id, j.lock_key, j.run_id, j.owner, j.deaths, @suspect(j) AS suspect,
           starts_with(j.pause_reason, 'quarantined: ') AS convict
      FROM jobs AS j
     WHERE j.active AND j.due <= @now_utc AND j.owner <> %(id)s
       -- A subquery: a join would judge an owner that changed meanwhile by its predecessor's row.
       AND COALESCE((SELECT n.died_at IS NOT NULL OR @lease_over(n)
                       FROM nodes AS n WHERE n.id = j.owner), true)
       FOR UPDATE OF j SKIP LOCKED
), locked AS MATERIALIZED (
    @locked_runs_of(orphaned)
), aboard AS MATERIALIZED (
    SELECT j.owner, count(*) AS jobs, count(*) FILTER (WHERE @suspect(j)) AS suspects,
           max(j.run_id) FILTER (WHERE j.deaths = 0 AND COALESCE(
               j.last_outcome NOT IN ('success', 'failed', 'timeout'), true)) AS untried
      FROM jobs AS j
     WHERE EXISTS (SELECT FROM orphaned) AND j.active AND j.due <= @now_utc
       AND j.owner = ANY (ARRAY(SELECT owner FROM orphaned))
     GROUP BY j.owner
), tried AS MATERIALIZED (
    SELECT *, pg_try_advisory_xact_lock(lock_key) AS locked FROM orphaned
     WHERE run_id IS NULL OR run_id NOT IN (SELECT id FROM locked)
), free AS MATERIALIZED (
    SELECT tried.id, tried.run_id, tried.deaths, tried.convict,
           COALESCE(n.name, 'that owned it') AS name,
           -- A run that its instance ended before it went is no death.
           COALESCE(r.outcome <> 'interrupted', true) AS died,
           a.jobs = 1 OR (tried.suspect AND a.suspects = 1
                          AND COALESCE(a.untried < tried.run_id, true)) AS singled_out
      FROM tried
      JOIN aboard AS a ON a.owner = tried.owner
      LEFT JOIN nodes AS n ON n.id = tried.owner LEFT JOIN runs AS r ON r.id = tried.run_id
     WHERE tried.locked
), judged AS (
    SELECT *, died AND %(quarantine)s > 0
              AND COALESCE(convict OR singled_out AND deaths + 1 >= %(quarantine)s, false) AS deadly
      FROM free
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
    RETURNING j.id, j.name, judged.run_id, judged.name AS node, deadly AS quarantined,
              j.pause_reason
), lost AS (
    @record_lost_runs
), noted AS (
    INSERT INTO kronii_events (at, what, job_id, who, reason, details)
    SELECT @now_utc, 'quarantined', id, %(node)s, pause_reason,
           pg_catalog.jsonb_build_object('run', run_id, 'died', node)
      FROM freed WHERE quarantined
)
SELECT id::text, name, run_id, node, quarantined FROM freed
 UNION ALL
SELECT id::text, NULL, NULL, NULL, NULL FROM tried WHERE NOT tried.locked

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
