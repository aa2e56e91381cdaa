-- The table of the original Rust scheduler, as it was.  Where its statement was run before, this
-- does nothing.
CREATE TABLE IF NOT EXISTS jobs (
    id       UUID PRIMARY KEY,
    name     TEXT NOT NULL,
    cron     TEXT NOT NULL,
    next_run TIMESTAMP,
    last_run TIMESTAMP,
    status   TEXT NOT NULL
);
