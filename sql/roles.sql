-- The roles that `kronii migrate --roles` makes (kronii/database/roles.py), and who is one of them.
-- Words in double quotes and braces are identifiers.

-- name: make_role
-- That it is there is looked at first: who may make none may still grant to it.
DO $$
BEGIN
    IF to_regrole('"{role}"') IS NULL THEN
        CREATE ROLE "{role}" NOLOGIN;
    END IF;
END
$$

-- name: grant_connect
GRANT CONNECT ON DATABASE "{database}" TO "{role}"

-- name: grant_temporary
-- For the table in which a registration brings its jobs.
GRANT TEMPORARY ON DATABASE "{database}" TO "{role}"

-- name: grant_schema
GRANT USAGE ON SCHEMA "{schema}" TO "{role}"

-- name: grant_read
GRANT SELECT ON TABLE "{relations}" TO "{role}"

-- name: grant_write
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE "{relations}" TO "{role}"

-- name: grant_numbers
GRANT SELECT, USAGE, UPDATE ON SEQUENCE "{relations}" TO "{role}"

-- name: home_of_roles
-- The schema and the database that they are for, and which of our relations (`names`) are there.
-- Asked of the catalog, which everybody may read.
SELECT home.name AS schema, current_database()::text AS database,
       ARRAY(SELECT c.relname::text FROM pg_class AS c
               JOIN pg_namespace AS n ON n.oid = c.relnamespace
              WHERE n.nspname = home.name AND c.relname = ANY (%(names)s::name[])
              ORDER BY c.relname) AS there
  FROM (SELECT COALESCE(NULLIF(current_setting('kronii.schema', true), ''),
                        current_schema()::text) AS name) AS home

-- name: right_on_database
-- Whether this role may grant what a database has, and whether that one has the right already.
SELECT (SELECT pg_has_role(d.datdba, 'USAGE'::text) FROM pg_database AS d
         WHERE d.datname = current_database()) AS may,
       has_database_privilege(%(role)s::name, current_database()::text, %(right)s::text) AS there

-- name: roles_there
SELECT r.rolname::text FROM pg_roles AS r WHERE r.rolname = ANY (%(roles)s::name[])
 ORDER BY r.rolname

-- name: standing_of_role
-- What this role is: one that runs, or reads; whether it may write to any table of ours, or read
-- the jobs; and whether the server lets anybody write.
WITH RECURSIVE @roles, ours AS (
    SELECT c.oid, c.relname FROM pg_class AS c JOIN home ON c.relnamespace = home.oid
     WHERE c.relname = ANY (%(names)s::name[]) AND c.relkind = 'r'
)
SELECT EXISTS (SELECT FROM above JOIN pg_roles AS r ON r.oid = above.oid
                WHERE r.rolname = %(running)s::name) AS runs,
       EXISTS (SELECT FROM above JOIN pg_roles AS r ON r.oid = above.oid
                WHERE r.rolname = %(reading)s::name) AS reads,
       EXISTS (SELECT FROM ours
                WHERE has_table_privilege(ours.oid, 'INSERT, UPDATE, DELETE'::text)) AS may_write,
       EXISTS (SELECT FROM ours WHERE ours.relname = 'jobs'
                  AND has_table_privilege(ours.oid, 'SELECT'::text)) AS may_read,
       pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only
