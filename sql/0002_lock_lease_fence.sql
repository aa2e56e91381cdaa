-- What Kronii needs behind the original's six columns: the claim on a job, the leases of instances,
-- the history.  A table that the original made may lack every constraint, so first its rows are
-- made fit for ours; none is dropped.

UPDATE jobs SET id = gen_random_uuid()
 WHERE id IS NULL
    OR ctid IN (SELECT ctid
                  FROM (SELECT ctid, row_number() OVER (
                                   PARTITION BY id ORDER BY last_run DESC NULLS LAST) AS place
                          FROM jobs) AS same
                 WHERE place > 1);
UPDATE jobs SET name = 'unnamed-' || id::text WHERE name IS NULL;
-- Of rows with one name the one that ran last keeps it.
UPDATE jobs SET name = name || '-' || id::text
 WHERE ctid IN (SELECT ctid
                  FROM (SELECT ctid, row_number() OVER (
                                   PARTITION BY name ORDER BY last_run DESC NULLS LAST, id) AS place
                          FROM jobs) AS same
                 WHERE place > 1);
UPDATE jobs SET cron = '' WHERE cron IS NULL;
-- Nobody holds a claim of the original's: what it left as running is due again.
UPDATE jobs
   SET status = CASE WHEN lower(status) IN ('success', 'failed') THEN lower(status)
                     ELSE 'pending' END;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint
                    WHERE conrelid = 'jobs'::regclass::oid AND contype = 'p') THEN
        ALTER TABLE jobs ADD PRIMARY KEY (id);
    END IF;
END $$;

ALTER TABLE jobs
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN name SET NOT NULL,
    ALTER COLUMN cron SET NOT NULL,
    ALTER COLUMN status SET NOT NULL,
    ALTER COLUMN status SET DEFAULT 'pending',
    -- Looser than the original: a job that is disabled or retired, or whose schedule has ended, has
    -- no next tick.
    ALTER COLUMN next_run DROP NOT NULL,
    ALTER COLUMN last_run DROP NOT NULL,
    ADD CONSTRAINT jobs_status
        CHECK (status IN ('pending', 'running', 'success', 'failed', 'paused', 'retired')),

    -- The definition, as far as the database needs to know it.
    ADD COLUMN timezone     TEXT     NOT NULL DEFAULT 'UTC',
    ADD COLUMN catch_up     TEXT     NOT NULL DEFAULT 'latest',
    ADD COLUMN description  TEXT     NOT NULL DEFAULT '',
    -- This job's share of its splay: it starts at next_run + splay.
    ADD COLUMN splay        INTERVAL NOT NULL DEFAULT '0',
    ADD COLUMN enabled      BOOLEAN  NOT NULL DEFAULT true,
    -- Hash of the definition in force; an instance runs only what it holds.
    ADD COLUMN digest       TEXT,
    -- Number of the registration that changed the row last.
    ADD COLUMN version      BIGINT   NOT NULL DEFAULT 0,
    -- The schedule is in force since: its ticks are owed from here on.
    ADD COLUMN scheduled_since TIMESTAMP,

    -- An operator's word.
    ADD COLUMN paused_at    TIMESTAMP,
    ADD COLUMN pause_reason TEXT,
    ADD COLUMN retired_at   TIMESTAMP,
    -- A run was asked for by hand; next_run is not concerned.
    ADD COLUMN manual_at    TIMESTAMP,

    -- The claim: whose it is, and the tick's story so far.
    ADD COLUMN owner        UUID,                         -- nodes.id; NULL: nobody runs it
    ADD COLUMN run_id       BIGINT,                       -- the latest run: the fence
    ADD COLUMN attempt      INTEGER  NOT NULL DEFAULT 0,  -- runs of the tick at next_run so far
    ADD COLUMN failures     INTEGER  NOT NULL DEFAULT 0,  -- those that failed (against `retries`)
    -- Those in which the instance died (counts towards quarantine).
    ADD COLUMN deaths       INTEGER  NOT NULL DEFAULT 0,
    -- Earlier ticks that the tick at next_run stands for.
    ADD COLUMN missed       INTEGER  NOT NULL DEFAULT 0,
    ADD COLUMN retry_at     TIMESTAMP,
    ADD COLUMN last_outcome TEXT;

ALTER TABLE jobs
    ADD COLUMN lock_key BIGINT    NOT NULL
        GENERATED ALWAYS AS (hashtextextended(id::text, 0::bigint)) STORED,
    -- A run that was asked for by hand is done though the job is paused or disabled.
    ADD COLUMN active   BOOLEAN   NOT NULL GENERATED ALWAYS AS
        (retired_at IS NULL AND (manual_at IS NOT NULL OR (enabled AND paused_at IS NULL))) STORED,
    ADD COLUMN due      TIMESTAMP
        GENERATED ALWAYS AS (LEAST(manual_at, COALESCE(retry_at, next_run + splay))) STORED;

-- A claim changes no indexed column, so with room in its page it is a HOT update and touches no
-- index at all.
ALTER TABLE jobs SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05,
                      autovacuum_analyze_scale_factor = 0.2);

CREATE UNIQUE INDEX IF NOT EXISTS jobs_name ON jobs (name);
-- Running rows stay in it: they are due until they have their outcome, which is how the orphans of
-- a dead instance are found.
CREATE INDEX jobs_due ON jobs (due) WHERE active;

-- Each registration of a file has a number; rows that it changes carry it.
CREATE SEQUENCE jobs_version;

CREATE TABLE nodes (
    id            UUID PRIMARY KEY,     -- fresh for each process, and again when a lease was lost
    name          TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    host          TEXT NOT NULL,
    version       TEXT NOT NULL,
    workers       INTEGER NOT NULL,
    backend_pid   INTEGER NOT NULL,     -- the session that holds its locks
    started_at    TIMESTAMP NOT NULL,
    ready_at      TIMESTAMP NOT NULL,   -- connected without a break since
    lease_until   TIMESTAMP NOT NULL,
    -- The server's when the lease was granted: another one means a failover since.
    timeline      TEXT NOT NULL DEFAULT '',
    died_at       TIMESTAMP             -- its death is proven: nobody needs to wait for the lease
) WITH (fillfactor = 50);

CREATE TABLE runs (
    id            BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    -- No foreign key: it would lock and look up the job once more for every run.
    job_id        UUID NOT NULL,
    scheduled_for TIMESTAMP NOT NULL,
    attempt       INTEGER NOT NULL,
    trigger       TEXT NOT NULL CHECK (trigger IN ('schedule', 'retry', 'recovery', 'manual')),
    node          TEXT,
    started_at    TIMESTAMP,
    finished_at   TIMESTAMP,
    outcome       TEXT NOT NULL
                  CHECK (outcome IN ('running', 'success', 'failed', 'timeout', 'interrupted',
                                     'lost', 'skipped')),
    exit_code     INTEGER,
    error         TEXT,
    output        TEXT,
    missed        INTEGER NOT NULL DEFAULT 0
-- Room for each outcome in its run's page: a HOT update, which touches no index.
) WITH (fillfactor = 50);

CREATE INDEX runs_job ON runs (job_id, id);
