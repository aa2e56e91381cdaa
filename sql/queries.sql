-- How SQL is kept here.
--
-- NNNN_what.sql is a migration; kronii/database/migrations.py applies each once.  All other files
-- hold the statements of the running program, each under a name; `run` in
-- kronii/database/queries.py sends them, and nothing else does:
--
--     sessions.sql      what every session is set up with, notifications
--     place.sql         in which schema the fleet lives, its channel and its fixed locks
--     rights.sql        whose schema it is, who else could meddle, and what this role may do
--     leases.sql        rows of instances, their leases and their deaths
--     claims.sql        what an instance claims, finds and gives back
--     outcomes.sql      how runs ended, and the end of old history
--     registration.sql  the schema's version, what stands in the table, and zone rules
--     definitions.sql   what was ever seen, who holds what, and what is in force
--     events.sql        what is noted of what was done
--     holders.sql       who holds what we wait for
--     audit.sql         what `kronii audit` reads
--     commands.sql      what `kronii list` and its neighbours ask and change
--
-- Left out are: the migrations' own text; BEGIN and COMMIT, which are the driver's; a job's
-- statement, with the lock that kronii/actions/sql.py takes before it (that session is the job's,
-- and nothing of ours is prepared in it); and what sets up the embedded server.
--
-- Values are %(name)s, as the driver has them.  A word after @ is a shorthand: below, each stands
-- with its parameters and with the text that takes its place; @parameter in that text is the
-- argument.  The database's clock decides what is due, on every instance alike, and tables hold
-- times in UTC without a zone.
--
-- Operators and functions are given exactly the types that PostgreSQL's own have, cast where need
-- be, and those that take any type say whose they are: for `text || uuid`, one that somebody has
-- put into our schema would be the better match (manual, "Operator Type Resolution").

-- shorthand: @now_utc
-- When the statement began.
(statement_timestamp() AT TIME ZONE 'UTC')

-- shorthand: @clock_utc
-- This very moment, later in a statement that had to wait: for leases.
(clock_timestamp() AT TIME ZONE 'UTC')

-- shorthand: @seconds(amount)
(CAST(@amount AS float8) * INTERVAL '1 s')

-- shorthand: @resting_status(otherwise)
-- The status of a job (alias j) that nobody runs.
CASE WHEN j.retired_at IS NOT NULL THEN 'retired'
     WHEN j.paused_at IS NOT NULL OR NOT j.enabled THEN 'paused'
     ELSE @otherwise END

-- shorthand: @claimable
-- Nobody's, of a definition that this instance has compared with its own, not put off here, and not
-- to be kept apart from what runs here.
active AND owner IS NULL AND digest IS NOT NULL AND version <= %(version)s AND
    deaths < %(below)s AND id <> ALL (%(deferred)s::uuid[])

-- shorthand: @lease_over(node)
-- Since longer than the grace that those get who only need to reconnect.
@node.lease_until <= @now_utc - @seconds(%(grace)s)

-- shorthand: @above_every_run_id
-- No run was ever given as high an id, on whatever copy of this database: ids begin with 1 or here,
-- and a fleet does not start 65536 runs a second for years.  JSON's whole numbers (2^53) last for
-- 4,000 years.
floor(extract(epoch FROM clock_timestamp() - TIMESTAMPTZ '2020-01-01 00:00:00Z')
      * 65536::numeric)::bigint

-- shorthand: @our_tables
-- Their oids; who looks into the catalog waits for nobody's lock.
SELECT c.oid FROM pg_class AS c
 WHERE c.relkind = 'r' AND c.relnamespace = (SELECT oid FROM pg_namespace
                                              WHERE nspname = current_schema())
   AND (c.relname IN ('jobs', 'runs', 'nodes') OR starts_with(c.relname::text, 'kronii_'))

-- shorthand: @session_name(node)
-- The name in pg_stat_activity that `session_name` in kronii/database/access.py makes.
left('kronii ' || @node.id::text, 63)

-- shorthand: @trial(job)
-- For how long a run of a job that was aboard when an instance died is on trial: until it has
-- outlived the run that died by far.  An interval; NULL if there is no such run.
(SELECT 2::float8 * (l.finished_at - l.started_at) + INTERVAL '5 s' FROM runs AS l
  WHERE l.job_id = @job.id AND l.id < @job.run_id AND l.outcome = 'lost'
  ORDER BY l.id DESC LIMIT 1)

-- shorthand: @suspect(job)
-- Aboard when an instance died, with the tick at which it stands, and since then neither finished
-- nor beyond its trial.
(@job.deaths > 0
 AND COALESCE(@now_utc - (SELECT r.started_at FROM runs AS r WHERE r.id = @job.run_id)
              <= @trial(@job), true))

-- shorthand: @held_by_strangers(among)
-- Jobs, of those among (alias j), whose lock is held by a session that is no instance's.
SELECT j.name, l.pid, a.usename::text, a.application_name
  FROM jobs AS j
  JOIN pg_locks AS l ON l.classid::bigint = (j.lock_key >> 32) & 4294967295
                    AND l.objid::bigint = j.lock_key & 4294967295
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE @among AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND NOT EXISTS (SELECT FROM nodes AS n
                    WHERE n.backend_pid = l.pid AND a.application_name = @session_name(n))
 ORDER BY j.name, l.pid

-- shorthand: @plain
-- A run as plain as can be: the first attempt, a success, for no tick but its own, and one moment
-- after the other.
(trigger = 'schedule' AND attempt = 1 AND outcome = 'success' AND missed = 0
 AND COALESCE(exit_code, 0) = 0 AND error IS NULL
 AND started_at >= scheduled_for AND finished_at >= started_at
 AND scheduled_for >= TIMESTAMP '1970-01-01' AND finished_at < TIMESTAMP '9998-01-01')

-- shorthand: @oldest_run
-- When the oldest run ended that is not forgotten: ids grow with time.
SELECT min(its.finished_at) FROM (SELECT finished_at FROM runs ORDER BY id LIMIT 2000) AS its

-- shorthand: @dated(moment)
-- A moment, as far as the driver's calendar goes: infinity is what somebody has written there.
CASE WHEN @moment < TIMESTAMP '0002-01-01' THEN TIMESTAMP '0002-01-01'
     WHEN @moment > TIMESTAMP '9998-01-01' THEN TIMESTAMP '9998-01-01' ELSE @moment END

-- shorthand: @locked_runs_of(rows)
-- For a CTE: the runs of these rows that another session holds locked.  Nobody is waited for, and
-- all others are ours from here on.  As arrays, for which the planner always walks the index: it
-- takes a CTE for many rows, and would read all of `runs`.
WITH had AS MATERIALIZED (
    SELECT id FROM runs WHERE id = ANY (ARRAY(SELECT run_id FROM @rows))
       FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id FROM runs
 WHERE id = ANY (ARRAY(SELECT run_id FROM @rows)) AND id NOT IN (SELECT id FROM had)

-- shorthand: @record_lost_runs
-- For a CTE beside `freed (run_id, node)`: runs whose instance died.  A timeout that was announced
-- before its run returned is no outcome yet.
UPDATE runs AS r
   SET outcome = 'lost', finished_at = @now_utc, error = 'instance ' || freed.node || ' died'
  FROM freed WHERE r.id = freed.run_id AND r.outcome IN ('running', 'timeout')
