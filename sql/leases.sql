-- Rows of instances: their leases, and their deaths.

-- name: register_node
-- `reason`: why this is not the first identity of its process; empty if it is.
WITH joined AS (
    INSERT INTO nodes (id, name, pid, host, version, workers, backend_pid, started_at, ready_at,
                       lease_until, timeline, tzdata, file)
    SELECT %(id)s, %(name)s, %(pid)s, %(host)s, %(version)s, %(workers)s, pg_backend_pid(), now,
           now, now + @seconds(%(lease)s), %(timeline)s, %(tzdata)s, %(file)s
      FROM (SELECT @clock_utc AS now) AS clock
    RETURNING id, name, pid, host, version, started_at
)
INSERT INTO kronii_events (at, what, who, reason, details)
SELECT started_at, 'instance_started', name, %(reason)s,
       pg_catalog.jsonb_build_object('identity', id, 'pid', pid, 'host', host, 'version', version)
  FROM joined

-- name: renew
-- On the same live session the renewal is unconditional: a step of the server's clock must not end
-- a lease that is being kept.  Says whether it was renewed, and whether it still could be: then
-- another session holds our row locked, which is not waited for.
WITH mine AS MATERIALIZED (
    SELECT id FROM nodes WHERE id = %(id)s AND died_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
), renewed AS (
    UPDATE nodes AS n SET lease_until = @clock_utc + @seconds(%(lease)s), tzdata = %(tzdata)s
      FROM mine WHERE n.id = mine.id
    RETURNING n.id
)
SELECT EXISTS (SELECT FROM renewed),
       EXISTS (SELECT FROM nodes WHERE id = %(id)s AND died_at IS NULL)

-- name: resume_lease
-- On a new session only a lease that still stands may be renewed; the session before this one is
-- ended, with its locks.
WITH held AS (
    SELECT id, backend_pid FROM nodes
     WHERE id = %(id)s AND died_at IS NULL AND lease_until > @clock_utc
       FOR UPDATE
), ended AS MATERIALIZED (
    SELECT a.pid, pg_catalog.pg_terminate_backend(a.pid) AS done
      FROM held JOIN pg_stat_activity AS a ON a.pid = held.backend_pid
     WHERE a.application_name = %(application)s AND a.datname = current_database()
       AND a.pid <> pg_backend_pid()
)
UPDATE nodes AS n
   SET lease_until = @clock_utc + @seconds(%(lease)s), ready_at = @clock_utc,
       backend_pid = pg_backend_pid(), timeline = %(timeline)s,
       file = COALESCE(%(file)s, n.file)
  FROM held
 WHERE n.id = held.id
RETURNING (SELECT count(*) FROM ended)

-- name: end_life
-- The end of an identity whose work has all ended: its session may be kept open by what stands
-- between, with its locks, and nobody needs to wait for its lease.
WITH ended AS MATERIALIZED (
    SELECT pg_terminate_backend(a.pid)
      FROM nodes AS n JOIN pg_stat_activity AS a
        ON a.pid = n.backend_pid AND a.application_name = @session_name(n)
     WHERE n.id = %(id)s AND a.pid <> pg_backend_pid()
       AND a.datname = current_database() AND a.usename = current_user
), dead AS (
    UPDATE nodes SET died_at = @now_utc
     WHERE id = (SELECT id FROM nodes WHERE id = %(id)s AND died_at IS NULL
                    FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, name, (SELECT count(*) FROM ended)
)
INSERT INTO kronii_events (at, what, who, reason, details)
SELECT @now_utc, 'died', name, 'its lease was over, and its work has ended',
       pg_catalog.jsonb_build_object('identity', id, 'proven', true)
  FROM dead

-- name: peers
-- The others, as far as a session of theirs is open and we may end it: their leases, and when the
-- session was last heard of.
SELECT n.id::text, n.lease_until, a.state_change
  FROM nodes AS n JOIN pg_stat_activity AS a
    ON a.pid = n.backend_pid AND a.application_name = @session_name(n)
 WHERE n.id <> %(id)s AND a.datname = current_database() AND a.usename = current_user

-- name: end_sessions
-- Of instances that were seen to be silent for a whole lease; only of those whose lease is over.
WITH silent AS MATERIALIZED (
    SELECT a.pid FROM nodes AS n JOIN pg_stat_activity AS a
        ON a.pid = n.backend_pid AND a.application_name = @session_name(n)
     WHERE n.id = ANY (%(ids)s::uuid[]) AND n.lease_until <= @now_utc
       AND a.datname = current_database() AND a.usename = current_user
)
SELECT count(*) FROM silent WHERE pg_terminate_backend(pid)

-- name: failed_over
-- True if somebody's lease is from before a failover: a claim that was not replicated may still be
-- running there.
SELECT EXISTS (SELECT FROM nodes WHERE timeline NOT IN ('', %(timeline)s) AND died_at IS NULL)

-- name: home
-- Whether this is the copy of the database on which the fleet was, and the seconds since it came
-- here; NULL: it has always been here.
SELECT identity = %(identity)s, extract(epoch FROM @clock_utc - came_at)::float8 FROM kronii_server

-- name: move_in
-- The fleet goes on with another copy: run ids go on above all that were ever given, but where none
-- was.  A million more, since a Kronii that knows nothing of this may claim at the same moment.
WITH past AS MATERIALIZED (
    SELECT GREATEST((SELECT max(id) FROM runs), (SELECT max(run_id) FROM jobs),
                    (SELECT last_value FROM runs_id_seq WHERE is_called)) AS latest
), moved AS (
    INSERT INTO kronii_server AS s (identity) VALUES (%(identity)s)
    ON CONFLICT (one_row) DO UPDATE SET identity = EXCLUDED.identity, came_at = @clock_utc
     WHERE s.identity <> EXCLUDED.identity OR %(anyway)s
    RETURNING came_at
)
SELECT setval('runs_id_seq'::regclass, GREATEST(past.latest, @above_every_run_id) + 1000000)
  FROM moved, past
 WHERE moved.came_at IS NOT NULL OR past.latest IS NOT NULL OR %(anyway)s

-- name: leave
-- A clean exit: rivals need not wait for the lease, and jobs that were in force here alone are
-- theirs to settle.
WITH gone AS (
    DELETE FROM nodes WHERE id = %(id)s RETURNING id, name
), noted AS (
    INSERT INTO kronii_events (at, what, who, details)
    SELECT @now_utc, 'left', name, pg_catalog.jsonb_build_object('identity', id) FROM gone
)
SELECT pg_notify(@own_channel, 'left') FROM gone

-- name: sweep
-- The last of a dead instance: claims that no longer are due (paused or retired meanwhile), then
-- its own row.  One that is connected is alive, whatever a step of the clock makes of its lease.
-- What another session holds locked waits for the next sweep.
WITH dead AS MATERIALIZED (
    SELECT id, name FROM nodes AS n
     WHERE id <> %(id)s
       AND (died_at IS NOT NULL
            OR @lease_over(n) AND NOT @just_come
               AND NOT EXISTS (SELECT FROM pg_stat_activity AS a
                                WHERE a.pid = n.backend_pid
                                  AND a.application_name = @session_name(n)))
       FOR UPDATE SKIP LOCKED
), idle AS MATERIALIZED (
    SELECT j.id, j.run_id, dead.name AS node FROM jobs AS j JOIN dead ON dead.id = j.owner
     WHERE NOT j.active OR j.due IS NULL OR j.due > @now_utc
       FOR UPDATE OF j SKIP LOCKED
), locked AS MATERIALIZED (
    @locked_runs_of(idle)
), freed AS (
    UPDATE jobs AS j SET owner = NULL, status = @resting_status('pending')
      FROM idle WHERE j.id = idle.id AND (idle.run_id IS NULL
                                          OR idle.run_id NOT IN (SELECT id FROM locked))
    RETURNING idle.run_id, idle.node
), lost AS (
    @record_lost_runs
), gone AS (
    DELETE FROM nodes USING dead
     WHERE nodes.id = dead.id
       AND (died_at IS NOT NULL OR @lease_over(nodes))
       AND (SELECT count(*) FROM jobs WHERE owner = nodes.id) = 0
    RETURNING nodes.id, nodes.name, nodes.died_at
), noted AS (
    INSERT INTO kronii_events (at, what, who, reason, details)
    SELECT @now_utc, 'died', name, 'its lease was over',
           pg_catalog.jsonb_build_object('identity', id, 'proven', false)
      FROM gone WHERE died_at IS NULL
)
SELECT name FROM gone

-- name: end_session
-- The dead can't unlock.
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE pid = %(pid)s AND application_name = %(application)s

-- name: report_death
-- A death that is proven: nobody needs to wait for the lease.  False if another session holds the
-- row locked: ask again.
WITH mine AS MATERIALIZED (
    SELECT id, name, died_at FROM nodes WHERE id = %(id)s FOR NO KEY UPDATE SKIP LOCKED
), dead AS (
    UPDATE nodes AS n SET died_at = @now_utc FROM mine WHERE n.id = mine.id RETURNING n.id
), noted AS (
    INSERT INTO kronii_events (at, what, who, reason, details)
    SELECT @now_utc, 'died', name, 'its process has ended',
           pg_catalog.jsonb_build_object('identity', id, 'proven', true)
      FROM mine WHERE died_at IS NULL
)
SELECT CASE WHEN EXISTS (SELECT FROM dead) THEN pg_notify(@own_channel, 'dead') IS NOT NULL
            ELSE NOT EXISTS (SELECT FROM nodes WHERE id = %(id)s) END
