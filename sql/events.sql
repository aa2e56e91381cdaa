-- What is noted of what was done to the fleet.  Where a statement does it, that statement notes it;
-- these go along with what several do.

-- shorthand: @command
-- Who runs a command: the database's role, the user and the host of the process.
(current_user::text || ' (' || %(client)s::text || ')')

-- name: note
INSERT INTO kronii_events (at, what, who, reason, details)
VALUES (@now_utc, %(what)s, %(who)s, %(reason)s, %(details)s::jsonb)

-- name: note_migrated
INSERT INTO kronii_events (at, what, who, details)
VALUES (@now_utc, 'migrated', COALESCE(NULLIF(%(node)s, ''), @command),
        pg_catalog.jsonb_build_object('version', %(version)s::int, 'was', %(was)s::int))

-- name: forget_events
-- One short walk along the oldest: ids grow with time.  None that is younger than the oldest run,
-- for where that ended the history begins.
WITH old AS MATERIALIZED (
    SELECT id, at FROM kronii_events ORDER BY id LIMIT %(batch)s
)
DELETE FROM kronii_events AS e USING old
 WHERE e.id = old.id AND old.at < @now_utc - @seconds(%(keep)s)
   AND old.at <= COALESCE((@oldest_run), old.at)
