-- Who holds what we wait for: locks of rows and tables, and advisory locks.

-- name: row_holders
-- Who keeps a row of these runs locked.  A row's lock is not in pg_locks; but the row is marked
-- with the transaction that holds it (xmax), and each transaction holds a lock of its own number.
-- Of several holders (a multixact) none is found.
SELECT e.run_id, l.pid, a.usename::text, a.application_name
  FROM unnest(%(ids)s::uuid[], %(runs)s::bigint[]) AS e (id, run_id)
  JOIN LATERAL (SELECT j.xmax FROM jobs AS j WHERE j.id = e.id
                UNION ALL
                SELECT r.xmax FROM runs AS r WHERE r.id = e.run_id) AS marked ON true
  JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.granted
                    AND l.transactionid = marked.xmax
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.pid <> pg_backend_pid()

-- name: job_row_holders
-- The same for the rows of jobs by name.
SELECT j.name, l.pid, a.usename::text, a.application_name
  FROM jobs AS j
  JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = j.xmax
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE j.name = ANY (%(names)s::text[]) AND l.pid <> pg_backend_pid()

-- name: table_holders
-- Sessions with a lock on our tables that keeps others from changing rows (SHARE and stronger).
SELECT DISTINCT l.relation::regclass::text, l.pid, a.usename::text, a.application_name
  FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.relation = ANY (ARRAY(@our_tables))
   AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')

-- name: key_holders
-- Who holds these advisory locks of the fleet (pg_locks splits a key into two halves).
SELECT wanted.key, l.pid, a.usename::text, a.application_name
  FROM pg_catalog.unnest(%(keys)s::bigint[]) AS wanted (key)
 CROSS JOIN LATERAL (SELECT wanted.key # @salt AS key) AS taken
  JOIN pg_locks AS l ON l.classid::bigint = (taken.key >> 32) & 4294967295
                    AND l.objid::bigint = taken.key & 4294967295
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: lingering
-- Sessions that have kept rows of ours locked, or whole tables, for longer than this many seconds;
-- or nobody knows for how long: of other roles' sessions that is shown to pg_read_all_stats alone.
SELECT DISTINCT l.relation::regclass::text
                || CASE WHEN a.xact_start IS NULL
                        THEN ' (since when is not shown to this role)' ELSE '' END,
       l.pid, a.usename::text, a.application_name
  FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.relation = ANY (ARRAY(@our_tables))
   AND l.mode <> 'AccessShareLock'
   AND COALESCE(a.xact_start < clock_timestamp() - @seconds(%(longer)s), true)

-- name: overdue_row_holders
-- Jobs that nobody has claimed for so many seconds and whose row a session that is not ours keeps
-- locked: claims pass over it without a word.  Where none is overdue, pg_locks is not looked at.
WITH overdue AS MATERIALIZED (
    SELECT id, name, xmax FROM jobs
     WHERE active AND owner IS NULL AND due <= @now_utc - @seconds(%(overdue)s)
     ORDER BY due LIMIT 10
)
SELECT j.name, l.pid, a.usename::text, a.application_name
  FROM overdue AS j
  JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = j.xmax
  JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE EXISTS (SELECT FROM overdue) AND l.pid <> pg_backend_pid()
   AND NOT (a.usename::text = current_user::text AND starts_with(a.application_name, 'kronii '))

-- name: strangers
-- Of these jobs.
@held_by_strangers(j.id = ANY (%(jobs)s::uuid[]))

-- name: all_strangers
@held_by_strangers(true)
