-- How runs ended, and the end of old history.

-- name: finish
-- Compare and set: the outcome counts only if the claim is still the one that the run was started
-- under.  What `recorded` needs comes with the rows of `closed`: the planner takes those for one
-- row, and joins by comparing each with each.
WITH ended AS MATERIALIZED (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(runs)s::bigint[], %(owners)s::uuid[], %(triggers)s::text[],
        %(outcomes)s::text[], %(codes)s::int[], %(errors)s::text[], %(outputs)s::text[],
        %(ages)s::float8[], %(ticks)s::timestamp[], %(nexts)s::timestamp[], %(delays)s::float8[],
        %(settled)s::boolean[], %(shown)s::timestamp[], %(missed)s::int[], %(rules)s::text[])
      AS e (id, run_id, owner, trigger, outcome, exit_code, error, output, age, tick, next_run,
            delay, settled, scheduled_for, missed, zone_rules)
), closed AS (
    UPDATE jobs AS j
       SET owner = NULL,
           last_outcome = e.outcome,
           manual_at = CASE WHEN e.trigger = 'manual' AND e.settled THEN NULL
                            ELSE j.manual_at END,
           status = @resting_status(CASE WHEN e.outcome = 'success' THEN 'success'
                                         WHEN e.outcome IN ('interrupted', 'skipped') THEN 'pending'
                                         ELSE 'failed' END),
           next_run = CASE WHEN e.settled AND e.trigger <> 'manual' AND j.next_run = e.tick
                           THEN e.next_run ELSE j.next_run END,
           zone_rules = CASE WHEN e.settled AND e.trigger <> 'manual' AND j.next_run = e.tick
                             THEN e.zone_rules ELSE j.zone_rules END,
           attempt = CASE WHEN e.settled AND e.trigger <> 'manual' THEN 0 ELSE j.attempt END,
           failures = CASE WHEN e.trigger = 'manual' THEN j.failures
                           WHEN e.settled THEN 0
                           WHEN e.delay IS NOT NULL AND e.outcome <> 'interrupted'  -- put off
                                AND j.next_run = e.tick THEN j.failures + 1
                           ELSE j.failures END,
           deaths = CASE WHEN e.outcome = 'interrupted' THEN j.deaths ELSE 0 END,
           missed = CASE WHEN e.settled AND e.trigger <> 'manual' THEN 0 ELSE j.missed END,
           retry_at = CASE WHEN e.trigger = 'manual' THEN j.retry_at
                           WHEN j.next_run = e.tick THEN @now_utc + @seconds(e.delay) END
      FROM ended AS e
     WHERE j.id = e.id AND j.run_id = e.run_id AND j.owner = e.owner
    RETURNING e.run_id, e.outcome, e.exit_code, e.error, e.output, e.age, e.scheduled_for, e.missed,
              j.next_run IS NOT DISTINCT FROM e.next_run AS moved
), recorded AS (
    UPDATE runs AS r
       SET outcome = CASE r.outcome WHEN 'running' THEN c.outcome ELSE r.outcome END,
           finished_at = COALESCE(r.finished_at, @now_utc - @seconds(c.age)),
           exit_code = c.exit_code, error = COALESCE(r.error, c.error), output = c.output,
           scheduled_for = c.scheduled_for, missed = c.missed
      FROM closed AS c
     WHERE r.id = c.run_id
), skipped AS (
    INSERT INTO runs (job_id, scheduled_for, attempt, trigger, node, finished_at, outcome, missed)
    SELECT s.id, s.tick, 1, 'schedule', %(node)s, @now_utc, 'skipped', s.missed
      FROM unnest(%(skipped_ids)s::uuid[], %(skipped_runs)s::bigint[],
                  %(skipped_ticks)s::timestamp[], %(skipped_missed)s::int[])
           AS s (id, run_id, tick, missed)
     -- Hashed: as a join it would compare each with each.  A job whose schedule was set anew has
     -- given up what it stood at, and these are no ticks of the new one.
     WHERE (s.run_id IN (SELECT run_id FROM closed WHERE moved)) IS TRUE
)
SELECT run_id FROM closed

-- name: locked_rows
-- The runs of which another session holds a row locked, that of the job or that of the run.  All
-- others are ours from here to the end of the transaction; nobody is waited for.  It is the lock
-- that an update takes, so that who only refers to a row (FOR KEY SHARE) is in nobody's way.
WITH free_jobs AS MATERIALIZED (
    SELECT id FROM jobs WHERE id = ANY (%(ids)s::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
), free_runs AS MATERIALIZED (
    SELECT id FROM runs WHERE id = ANY (%(runs)s::bigint[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT e.run_id FROM unnest(%(ids)s::uuid[], %(runs)s::bigint[]) AS e (id, run_id)
 WHERE EXISTS (SELECT FROM jobs AS j WHERE j.id = e.id)
       AND e.id NOT IN (SELECT id FROM free_jobs)
    OR EXISTS (SELECT FROM runs AS r WHERE r.id = e.run_id)
       AND e.run_id NOT IN (SELECT id FROM free_runs)

-- name: recorded
-- Which of these runs have an outcome already: an answer that was lost on its way looks like a
-- refused finish.
SELECT id FROM runs WHERE id = ANY (%(runs)s::bigint[]) AND outcome NOT IN ('running', 'lost')

-- name: announce
-- A run that goes on though its outcome is known (past its timeout, or at the end of its instance):
-- its claim and its lock stay.  A row that is locked is passed over: its outcome follows.
WITH free AS MATERIALIZED (
    SELECT id FROM runs WHERE id = ANY (%(runs)s::bigint[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE runs AS r
   SET outcome = %(outcome)s, finished_at = @now_utc, error = m.error
  FROM unnest(%(runs)s::bigint[], %(errors)s::text[]) AS m (id, error)
  JOIN free ON free.id = m.id
 WHERE r.id = m.id AND r.outcome = 'running'
RETURNING r.id

-- name: forget
-- One short walk along the oldest runs: ids grow with time, so where none of them is old, nothing
-- behind them is.  What somebody else holds locked is left for the next walk.
WITH oldest AS MATERIALIZED (
    SELECT id, finished_at, outcome FROM runs WHERE id > %(after)s ORDER BY id LIMIT %(batch)s
), free AS MATERIALIZED (
    SELECT runs.id FROM runs JOIN oldest ON oldest.id = runs.id
     WHERE oldest.outcome <> 'running' AND oldest.finished_at < @now_utc - @seconds(%(keep)s)
       FOR UPDATE OF runs SKIP LOCKED
), gone AS (
    DELETE FROM runs USING free WHERE runs.id = free.id RETURNING runs.id
)
SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM oldest)
