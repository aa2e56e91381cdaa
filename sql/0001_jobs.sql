-- The table of the original Rust scheduler, by its own statement.  Where that was run before, this
-- does nothing.  0002 adds columns behind these six, makes `name` unique, and loosens one thing:
-- `next_run` may be NULL, for a job that is disabled or retired, or whose schedule has ended, has
-- no next tick.
CREATE TABLE IF NOT EXISTS jobs (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    cron TEXT NOT NULL,
    next_run TIMESTAMP NOT NULL,
    last_run TIMESTAMP,
    status TEXT NOT NULL
);
