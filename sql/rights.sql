-- Whose schema this is, who else could have our statements do what we never wrote, and what this
-- role may do.

-- name: pin_search_path
-- Names are looked up in pg_catalog first, which every path begins with unless it says otherwise,
-- then in our schema, and in the session's temporary one last (CREATE FUNCTION, "Writing SECURITY
-- DEFINER Functions Safely").  Ours is the first of the path that has our tables, or the
-- original's, or else the first.  A schema that is meant for this role by its name alone ("$user")
-- must belong to whom we trust: anybody who may create schemas can make one of that name.
-- Where KRONII_SCHEMA names one, it is that and no other; `kronii.schema` keeps what was asked for,
-- as the session's own setting.
--
-- This is sent before the path is pinned: every function and operator says that it is
-- pg_catalog's.
WITH wanted AS MATERIALIZED (
    SELECT n.oid, its.name, n.nspname FROM (SELECT %(schema)s::pg_catalog.text AS name) AS its
      LEFT JOIN pg_catalog.pg_namespace AS n
             ON n.nspname::pg_catalog.text OPERATOR(pg_catalog.=) its.name
), path AS MATERIALIZED (
    SELECT n.oid, n.nspname AS name, its.place
      FROM ROWS FROM (pg_catalog.unnest(pg_catalog.current_schemas(false)))
           WITH ORDINALITY AS its (name, place)
      JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) its.name
      JOIN pg_catalog.pg_roles AS me ON me.rolname OPERATOR(pg_catalog.=) current_user
      LEFT JOIN pg_catalog.pg_roles AS owner ON owner.oid OPERATOR(pg_catalog.=) n.nspowner
     WHERE pg_catalog.left(n.nspname::pg_catalog.text, 3) OPERATOR(pg_catalog.<>) 'pg_'
       AND (n.nspname OPERATOR(pg_catalog.<>) current_user
            OR pg_catalog.strpos(pg_catalog.current_setting('search_path'), '$user')
               OPERATOR(pg_catalog.=) 0
            OR owner.rolsuper
            OR n.nspowner OPERATOR(pg_catalog.=) me.oid
            OR NOT me.rolsuper AND pg_catalog.pg_has_role(me.oid, n.nspowner, 'MEMBER')
            OR n.nspowner OPERATOR(pg_catalog.=)
               (SELECT d.datdba FROM pg_catalog.pg_database AS d
                 WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
       AND (SELECT name FROM wanted) IS NULL
     UNION ALL
    SELECT oid, nspname, 1 FROM wanted
     WHERE oid IS NOT NULL
       AND pg_catalog.has_schema_privilege(oid, 'USAGE'::pg_catalog.text)
), known AS MATERIALIZED (
    SELECT path.name, path.place, c.relname,
           (SELECT pg_catalog.string_agg(a.attname::pg_catalog.text, ' ' ORDER BY a.attnum)
              FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND NOT a.attisdropped
               AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2) AS columns
      FROM path
      JOIN pg_catalog.pg_class AS c ON c.relnamespace OPERATOR(pg_catalog.=) path.oid
     WHERE c.relname OPERATOR(pg_catalog.=) 'kronii_schema'
        OR c.relname OPERATOR(pg_catalog.=) 'jobs'
), ours AS MATERIALIZED (
    SELECT COALESCE(
        (SELECT name FROM known WHERE relname OPERATOR(pg_catalog.=) 'kronii_schema'
          ORDER BY place LIMIT 1),
        (SELECT name FROM known WHERE columns OPERATOR(pg_catalog.=) @original_columns
          ORDER BY place LIMIT 1),
        (SELECT name FROM path ORDER BY place LIMIT 1)) AS name
)
SELECT pg_catalog.pg_backend_pid() AS pid, ours.name AS schema,
       pg_catalog.current_setting('search_path') AS path,
       pg_catalog.quote_ident(current_user::pg_catalog.text) AS role,
       pg_catalog.quote_ident(wanted.name) AS wanted, wanted.oid IS NOT NULL AS there,
       pg_catalog.set_config('kronii.schema', COALESCE(wanted.name, ''), false) AS asked,
       pg_catalog.set_config('search_path',
           CASE WHEN ours.name IS NULL THEN 'pg_temp'
                ELSE pg_catalog.concat(pg_catalog.quote_ident(ours.name::pg_catalog.text),
                                       ', pg_temp') END, false) AS pinned
  FROM ours, wanted

-- shorthand: @original_columns
'id name cron next_run last_run status'

-- shorthand: @roles
-- For a WITH RECURSIVE: `home` is our schema.  `trusted` are roles that can do as we do anyway:
-- superusers, who owns the database or the schema, and who may become us.  `owners` are these and
-- the roles that we belong to.  Who belongs to whom is read from the table, for a superuser counts
-- as a member of every role.
me AS (
    SELECT oid FROM pg_roles WHERE rolname IN (current_user, session_user)
), above (oid) AS (
    SELECT oid FROM me
     UNION SELECT m.roleid FROM pg_auth_members AS m JOIN above ON m.member = above.oid
      -- From PostgreSQL 16 on: who has made a role belongs to it, to administer it alone.
      WHERE COALESCE((pg_catalog.to_jsonb(m) ->> 'set_option'::text)::bool, true)
), below (oid) AS (
    SELECT oid FROM me
     UNION SELECT m.member FROM pg_auth_members AS m JOIN below ON m.roleid = below.oid
), home AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = current_schema()
), trusted (oid) AS (
    SELECT oid FROM below
     UNION SELECT oid FROM pg_roles WHERE rolsuper OR rolname = 'pg_database_owner'
     UNION SELECT datdba FROM pg_database WHERE datname = current_database()
     UNION SELECT nspowner FROM home
), owners (oid) AS (
    SELECT oid FROM trusted UNION SELECT oid FROM above
)

-- name: untrusted
-- Roles that we don't trust, with what they have here.  A trigger runs as whoever writes to its
-- table; a function or an operator of our schema can be a better match for what a statement of ours
-- says than the one it means.
WITH RECURSIVE @roles, creators (oid) AS (
    SELECT acl.grantee FROM home, aclexplode(home.nspacl) AS acl
     WHERE acl.privilege_type = 'CREATE'
     -- Of a group that we belong to, the others.
     UNION SELECT m.member FROM pg_auth_members AS m JOIN creators ON m.roleid = creators.oid
            WHERE creators.oid NOT IN (SELECT oid FROM trusted)
), named AS (
    SELECT c.oid, c.relname, c.relowner FROM pg_class AS c JOIN home ON c.relnamespace = home.oid
     WHERE c.relname = ANY (%(names)s::name[])
), found (what, object, role) AS (
    SELECT 'create', '', oid FROM creators
     WHERE oid NOT IN (SELECT oid FROM owners)
     UNION
    SELECT 'relation', relname, relowner FROM named
     UNION
    SELECT 'trigger', named.relname, p.proowner
      FROM pg_trigger AS t JOIN named ON named.oid = t.tgrelid JOIN pg_proc AS p ON p.oid = t.tgfoid
     WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
     UNION
    SELECT 'function', p.proname, p.proowner
      FROM pg_proc AS p JOIN home ON p.pronamespace = home.oid
     WHERE EXISTS (SELECT FROM pg_proc AS s
                    WHERE s.proname = p.proname
                      AND s.pronamespace = 'pg_catalog'::regnamespace::oid)
     UNION
    SELECT 'operator', o.oprname, o.oprowner
      FROM pg_operator AS o JOIN home ON o.oprnamespace = home.oid
)
SELECT f.what, f.object::text AS object, home.nspname::text AS schema,
       CASE WHEN f.role <> 0::oid THEN pg_get_userbyid(f.role)::text END AS role
  FROM found AS f, home
 WHERE f.role NOT IN (SELECT oid FROM owners)
 ORDER BY f.what, object, role

-- name: ruled
-- Those of our relations that have a rule: ours have none, and one does what it likes instead of
-- what is asked.
SELECT DISTINCT c.relname::text AS name
  FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = current_schema() AND c.relname = ANY (%(names)s::name[])
   AND c.relkind IN ('r', 'p')

-- name: triggerers
-- Who, beside those that we trust, may add a trigger to our tables.
WITH RECURSIVE @roles
SELECT c.relname::text AS name,
       CASE WHEN acl.grantee <> 0::oid THEN pg_get_userbyid(acl.grantee)::text END AS role
  FROM pg_class AS c JOIN home ON c.relnamespace = home.oid, aclexplode(c.relacl) AS acl
 WHERE c.relname = ANY (%(names)s::name[]) AND acl.privilege_type = 'TRIGGER'
   AND acl.grantee NOT IN (SELECT oid FROM owners)
 ORDER BY c.relname, role

-- name: own_create
-- Whether this role may create here by a grant that is not everybody's.
WITH RECURSIVE @roles
SELECT EXISTS (SELECT FROM home
                WHERE home.nspowner IN (SELECT oid FROM above)
                   OR EXISTS (SELECT FROM aclexplode(home.nspacl) AS acl
                               WHERE acl.privilege_type = 'CREATE'
                                 AND acl.grantee IN (SELECT oid FROM above))
                   OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))

-- name: unoriginal
-- What of the table `jobs` is not as the original's statement makes it; no row: there is no such
-- table.
SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence,
       c.relispartition OR c.relhassubclass
           OR EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) AS inherits,
       c.relrowsecurity OR c.relforcerowsecurity AS secured,
       EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) AS triggers,
       EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) AS rules,
       EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c') AS checks,
       ARRAY(SELECT a.attname::text || ' ' || format_type(a.atttypid, a.atttypmod)
               FROM pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              ORDER BY a.attnum) AS columns,
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND (a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '')
              ORDER BY a.attnum) AS computed
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = current_schema() AND c.relname = 'jobs'

-- name: occupied
-- What is named as Kronii's, `jobs` apart, in a schema that is not its own.  An index that has the
-- name of ours on `jobs.name` would be taken for it.
SELECT c.relname::text AS name
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = current_schema() AND c.relname <> 'jobs'
   AND (c.relname = ANY (%(names)s::name[])
        OR c.relname = 'jobs_name'
           AND NOT EXISTS (SELECT FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid
                            WHERE i.indexrelid = c.oid AND i.indisunique AND i.indpred IS NULL
                              AND t.relname = 'jobs' AND t.relnamespace = n.oid))
   AND NOT @is_made(kronii_schema)
 ORDER BY c.relname

-- == trials: in a transaction that is rolled back; kronii/database/rights.py has their order ======

-- name: try_home
-- Whether our schema may be used at all: a path that leads nowhere says no more than that.
SELECT COALESCE(left(current_schema()::text, 8) <> 'pg_temp_', false)

-- name: try_read_schema
SELECT version FROM kronii_schema LIMIT 1

-- name: try_read_migrations
SELECT version, usable_from FROM kronii_migrations LIMIT 1

-- name: try_read_server
SELECT identity, came_at FROM kronii_server LIMIT 1

-- name: try_insert_server
-- Of this table there is one row, which others want: rights are looked at before rows are.
INSERT INTO kronii_server (identity) SELECT 'none' WHERE false

-- name: try_update_server
UPDATE kronii_server SET came_at = @now_utc WHERE false

-- name: try_read_jobs
-- Every column, whatever columns there are.
SELECT its::text FROM jobs AS its LIMIT 0

-- name: try_insert_jobs
INSERT INTO jobs (id, name, cron, status, enabled) VALUES (%(id)s, %(name)s, '', 'paused', false)

-- name: try_update_jobs
UPDATE jobs SET last_run = next_run, run_id = %(run)s, owner = NULL WHERE id = %(id)s

-- name: try_read_runs
SELECT its::text FROM runs AS its LIMIT 0

-- name: try_insert_runs
INSERT INTO runs (id, job_id, scheduled_for, attempt, trigger, outcome)
VALUES (%(run)s, %(id)s, @now_utc, 1, 'manual', 'skipped')

-- name: try_update_runs
UPDATE runs SET finished_at = @now_utc WHERE id = %(run)s

-- name: try_delete_runs
DELETE FROM runs WHERE id = %(run)s

-- name: try_read_nodes
SELECT its::text FROM nodes AS its LIMIT 0

-- name: try_insert_nodes
INSERT INTO nodes (id, name, pid, host, version, workers, backend_pid, started_at, ready_at,
                   lease_until, died_at)
VALUES (%(id)s, %(name)s, 0, '', '', 0, 0, @now_utc, @now_utc, @now_utc, @now_utc)

-- name: try_update_nodes
UPDATE nodes SET lease_until = @now_utc WHERE id = %(id)s

-- name: try_delete_nodes
DELETE FROM nodes WHERE id = %(id)s

-- name: try_select_definitions
SELECT its::text FROM kronii_definitions AS its LIMIT 0

-- name: try_insert_definitions
-- Of these tables and the next no row is needed: rights are looked at before rows are.
INSERT INTO kronii_definitions (name, digest, cron, timezone, catch_up, description, splay, enabled,
                                first_seen)
SELECT '', '', '', '', '', '', 0, false, @now_utc WHERE false

-- name: try_select_files
SELECT its::text FROM kronii_files AS its LIMIT 0

-- name: try_insert_files
INSERT INTO kronii_files (digest, first_seen, definitions) SELECT '', @now_utc, '{}' WHERE false

-- name: try_update_files
UPDATE kronii_files SET definitions = '{}' WHERE false

-- name: try_select_in_force
SELECT its::text FROM kronii_in_force AS its LIMIT 0

-- name: try_insert_in_force
INSERT INTO kronii_in_force (job_id, since, definition)
SELECT %(id)s::uuid, @now_utc, 0 WHERE false

-- name: try_update_in_force
UPDATE kronii_in_force SET until = since WHERE false

-- name: try_delete_in_force
DELETE FROM kronii_in_force WHERE false

-- name: try_select_events
SELECT its::text FROM kronii_events AS its LIMIT 0

-- name: try_insert_events
INSERT INTO kronii_events (at, what, who) SELECT @now_utc, '', '' WHERE false

-- name: try_delete_events
DELETE FROM kronii_events WHERE false

-- name: try_registration_number
-- Its numbers are not drawn, for they would not come back; either right is enough for that.
SELECT has_sequence_privilege('jobs_version'::regclass::oid, 'USAGE, UPDATE'::text), last_value
  FROM jobs_version

-- name: try_run_number
-- They are drawn, and jump where the fleet goes on with a copy of the database.
SELECT has_sequence_privilege('runs_id_seq'::regclass::oid, 'UPDATE'::text), last_value
  FROM runs_id_seq

-- name: try_lock
-- Of a session and of a transaction, as the two kinds of locks are; none is left behind.
SELECT pg_try_advisory_lock(key) AND pg_advisory_unlock(key) AND pg_try_advisory_xact_lock(key)
       AND pg_try_advisory_xact_lock_shared(key)
  FROM (SELECT %(run)s::bigint AS key) AS ours
