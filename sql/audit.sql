-- What an audit reads, in one snapshot; nothing of it is decided here.

-- name: audit_limits
-- For this transaction: a long history takes its time, to read and to compare, but not for ever,
-- since what others delete stays as long as the snapshot does.  Compiling costs more than it saves,
-- and a hash of all jobs with their ticks need not go to disk.
SELECT set_config('statement_timeout', %(limit)s::text, true),
       set_config('idle_in_transaction_session_timeout', %(limit)s::text, true),
       set_config('jit', 'off', true), set_config('work_mem', '64MB', true)

-- name: audit_window
-- Since when the history is whole: what is forgotten is older than what is left, of runs as of
-- events, and the oldest stand at the beginning, for ids grow with time.
SELECT @now_utc AS now,
       LEAST(@dated((@oldest_run)),
             (SELECT min(@dated(e.at))
                FROM (SELECT at FROM kronii_events ORDER BY id LIMIT 2000) AS e)) AS history,
       EXISTS (SELECT FROM nodes WHERE died_at IS NULL AND lease_until > @now_utc) AS alive

-- name: audited_jobs
SELECT j.id::text, j.name, @dated(j.next_run) AS next_run, j.digest, j.cron, j.timezone, j.enabled,
       j.retired_at IS NOT NULL AS retired, @dated(j.paused_at) AS paused_at,
       @dated(j.scheduled_since) AS scheduled_since, j.zone_rules,
       CASE WHEN j.owner IS NOT NULL THEN r.id END AS run, @dated(r.started_at) AS started_at,
       @dated(r.finished_at) AS finished_at, COALESCE(r.trigger = 'manual', false) AS by_hand,
       j.attempt, @dated(j.retry_at) AS retry_at, @dated(j.manual_at) AS manual_at
  FROM jobs AS j LEFT JOIN runs AS r ON r.id = j.run_id
 ORDER BY j.name

-- name: audited_stretches
SELECT f.job_id::text AS job, @dated(f.since) AS since, @dated(f.until) AS until, f.file, d.name,
       d.digest, d.cron, d.timezone, d.catch_up, d.splay, d.enabled
  FROM kronii_in_force AS f LEFT JOIN kronii_definitions AS d ON d.id = f.definition
 ORDER BY f.job_id, f.since

-- name: audited_events
-- Those by which it is known when ticks were owed, and what was asked for by hand.
SELECT job_id::text AS job, @dated(at) AS at, what, details FROM kronii_events
 WHERE job_id IS NOT NULL
   AND what IN ('defined', 'changed', 'came_back', 'retired', 'paused', 'quarantined', 'resumed',
                'triggered')
 ORDER BY job_id, id

-- name: audited_lives
-- Instances that note what they do, which those of earlier releases don't: they say which file they
-- hold, or that they leave.
SELECT its.name, @dated(its.at) AS at, its.gone, (its.id IN (
           SELECT s.details ->> 'identity' FROM kronii_events AS s
            WHERE s.what = 'instance_started' AND s.job_id IS NULL)) IS TRUE AS told
  FROM (SELECT n.name, n.started_at AS at, false AS gone, n.id::text AS id
          FROM nodes AS n WHERE n.file IS NOT NULL
         UNION ALL
        SELECT e.who, e.at, true, e.details ->> 'identity'
          FROM kronii_events AS e WHERE e.what = 'left' AND e.job_id IS NULL) AS its
 WHERE its.id IS NOT NULL
 ORDER BY its.at

-- name: first_event
-- Whether no event was ever forgotten.
SELECT EXISTS (SELECT FROM kronii_events WHERE id = 1)

-- shorthand: @sent(moment)
pg_catalog.timestamp_send(@moment + INTERVAL '946684800 s')

-- name: audited_ticks
-- Of each job the ticks of its plainest runs, which are nearly all, packed into one value: 8 bytes
-- each, as timestamps are sent, but counted from 1970 on instead of 2000; and of those that had not
-- ended soon after their tick, this with beginning and end.  With those that began since: what was
-- moved to before the job was there is seen by that.  What is plain is no condition of the rows, of
-- which the planner would expect next to none, and sort them all.
SELECT job_id::text AS job,
       pg_catalog.string_agg(@sent(scheduled_for), ''::bytea) FILTER (WHERE @plain) AS ticks,
       pg_catalog.string_agg(@sent(scheduled_for) || @sent(started_at) || @sent(finished_at),
                             ''::bytea)
           FILTER (WHERE @plain AND finished_at > scheduled_for + @seconds(%(brief)s)) AS long
  FROM runs
 WHERE scheduled_for >= %(start)s::timestamp OR started_at >= %(start)s::timestamp
 GROUP BY job_id

-- name: audited_runs
-- All others, those that were asked for by hand among them.  That the text of a success could not
-- be stored does not speak against it.  In no order, and with a comparison of which the planner
-- expects few rows: it would walk the index through the whole table, alone.
SELECT job_id::text, @dated(scheduled_for), outcome, attempt, trigger, missed, id,
       @dated(started_at), @dated(finished_at), exit_code,
       CASE WHEN outcome = 'success' THEN error <> %(unstorable)s::text ELSE true END
           AND error IS NOT NULL
  FROM runs
 WHERE (scheduled_for >= %(start)s::timestamp OR started_at >= %(start)s::timestamp)
   AND CASE WHEN @plain THEN 'plain' ELSE 'other' END = 'other'

-- name: runs_of_ticks
SELECT r.job_id::text AS job, r.scheduled_for AS tick,
       pg_catalog.array_agg(r.id ORDER BY r.id) AS runs
  FROM (SELECT DISTINCT * FROM unnest(%(jobs)s::uuid[], %(ticks)s::timestamp[]) AS t (job, tick))
       AS named
  JOIN runs AS r ON r.job_id = named.job AND r.scheduled_for = named.tick
 WHERE r.trigger <> 'manual'
 GROUP BY r.job_id, r.scheduled_for
