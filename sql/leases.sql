-- Rows of instances: their leases, and their deaths.

-- name: register_node
INSERT INTO nodes (id, name, pid, host, version, workers, backend_pid, started_at, ready_at,
                   lease_until, timeline)
SELECT %(id)s, %(name)s, %(pid)s, %(host)s, %(version)s, %(workers)s, pg_backend_pid(), now, now,
       now + @seconds(%(lease)s), %(timeline)s
  FROM (SELECT @clock_utc AS now) AS clock

-- name: renew
-- On the same live session the renewal is unconditional: a step of the server's clock must not end
-- a lease that is being kept.
UPDATE nodes SET lease_until = @clock_utc + @seconds(%(lease)s)
 WHERE id = %(id)s AND died_at IS NULL
RETURNING id

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
       backend_pid = pg_backend_pid(), timeline = %(timeline)s
  FROM held
 WHERE n.id = held.id
RETURNING (SELECT count(*) FROM ended)

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
-- A clean exit: rivals need not wait for the lease.
DELETE FROM nodes WHERE id = %(id)s

-- name: sweep
-- The last of a dead instance: claims that no longer are due (paused or retired meanwhile), then
-- its own row.  One that is connected is alive, whatever a step of the clock makes of its lease.
-- Its session is known by the name that `session_name` in kronii/database/access.py makes.
WITH dead AS MATERIALIZED (
    SELECT id, name FROM nodes AS n
     WHERE id <> %(id)s
       AND (died_at IS NOT NULL
            OR @lease_over(n)
               AND NOT EXISTS (SELECT FROM pg_stat_activity AS a
                                WHERE a.pid = n.backend_pid
                                  AND a.application_name = left('kronii ' || n.id::text, 63)))
), idle AS MATERIALIZED (
    SELECT j.id, j.run_id, dead.name AS node FROM jobs AS j JOIN dead ON dead.id = j.owner
     WHERE NOT j.active OR j.due IS NULL OR j.due > @now_utc
       FOR UPDATE OF j SKIP LOCKED
), freed AS (
    UPDATE jobs AS j SET owner = NULL, status = @resting_status('pending')
      FROM idle WHERE j.id = idle.id
    RETURNING idle.run_id, idle.node
), lost AS (
    @record_lost_runs
)
DELETE FROM nodes USING dead
 WHERE nodes.id = dead.id
   AND (died_at IS NOT NULL OR @lease_over(nodes))
   AND (SELECT count(*) FROM jobs WHERE owner = nodes.id) = 0
RETURNING dead.name

-- name: end_session
-- The dead can't unlock.
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE pid = %(pid)s AND application_name = %(application)s

-- name: report_death
-- A death that is proven: nobody needs to wait for the lease.
WITH dead AS (
    UPDATE nodes SET died_at = @now_utc WHERE id = %(id)s RETURNING id
)
SELECT pg_notify('kronii', 'dead') FROM dead
