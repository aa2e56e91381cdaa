-- What an audit reads, in one snapshot; nothing of it is decided here.

-- name: audit_limits
-- For this transaction: a long history takes its time, and nobody waits for who only reads.
SELECT set_config('statement_timeout', '0', true)

-- name: audit_window
-- Since when the history is whole: what is forgotten is older than what is left, of runs as of
-- events, and the oldest stand at the beginning, for ids grow with time.
SELECT @now_utc AS now,
       LEAST((SELECT min(r.finished_at)
                FROM (SELECT finished_at FROM runs ORDER BY id LIMIT 2000) AS r),
             (SELECT min(e.at)
                FROM (SELECT at FROM kronii_events ORDER BY id LIMIT 2000) AS e)) AS history,
       EXISTS (SELECT FROM nodes WHERE died_at IS NULL AND lease_until > @now_utc) AS alive

-- name: audited_jobs
SELECT j.id::text, j.name, j.next_run, j.digest, j.cron, j.timezone, j.enabled,
       j.retired_at IS NOT NULL AS retired, j.paused_at, j.scheduled_since, j.zone_rules,
       CASE WHEN j.owner IS NOT NULL THEN r.id END AS run, r.started_at, r.finished_at,
       COALESCE(r.trigger = 'manual', false) AS by_hand, j.attempt, j.retry_at, j.manual_at
  FROM jobs AS j LEFT JOIN runs AS r ON r.id = j.run_id
 ORDER BY j.name

-- name: audited_stretches
SELECT f.job_id::text AS job, f.since, f.until, f.file, d.name, d.digest, d.cron, d.timezone,
       d.catch_up, d.splay, d.enabled
  FROM kronii_in_force AS f LEFT JOIN kronii_definitions AS d ON d.id = f.definition
 ORDER BY f.job_id, f.since

-- name: audited_events
-- Those by which it is known when ticks were owed, and what was asked for by hand.
SELECT job_id::text AS job, at, what, details FROM kronii_events
 WHERE job_id IS NOT NULL
   AND what IN ('defined', 'changed', 'came_back', 'retired', 'paused', 'quarantined', 'resumed',
                'triggered')
 ORDER BY job_id, id

-- name: audited_ticks
-- Of each job the ticks of its plainest runs, which are nearly all, packed into one value: 8 bytes
-- each, as timestamps are sent.  With those that began since: what was moved to before the job was
-- there is seen by that.
SELECT job_id::text AS job,
       pg_catalog.string_agg(pg_catalog.timestamp_send(scheduled_for), ''::bytea) AS ticks
  FROM runs
 WHERE (scheduled_for >= %(start)s::timestamp OR started_at >= %(start)s::timestamp) AND @plain
 GROUP BY job_id

-- name: audited_runs
-- All others, none that was asked for by hand.  That the text of a success could not be
-- stored does not speak against it.
SELECT job_id::text, scheduled_for, outcome, attempt, trigger, missed, id, finished_at, exit_code,
       CASE WHEN outcome = 'success' THEN error <> %(unstorable)s::text ELSE true END
           AND error IS NOT NULL
  FROM runs
 WHERE (scheduled_for >= %(start)s::timestamp OR started_at >= %(start)s::timestamp)
   AND trigger <> 'manual' AND @plain IS NOT TRUE
 ORDER BY id

-- name: audited_by_hand
SELECT DISTINCT job_id::text AS job, scheduled_for AS tick FROM runs
 WHERE scheduled_for >= %(start)s::timestamp AND trigger = 'manual'

-- name: runs_of_ticks
SELECT r.job_id::text AS job, r.scheduled_for AS tick,
       pg_catalog.array_agg(r.id ORDER BY r.id) AS runs
  FROM (SELECT DISTINCT * FROM unnest(%(jobs)s::uuid[], %(ticks)s::timestamp[]) AS t (job, tick))
       AS named
  JOIN runs AS r ON r.job_id = named.job AND r.scheduled_for = named.tick
 WHERE r.trigger <> 'manual'
 GROUP BY r.job_id, r.scheduled_for
