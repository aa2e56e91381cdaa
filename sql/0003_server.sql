-- usable from: 2
--
-- Which server the fleet works on: run ids, which jobs see as fencing tokens, must go on above every
-- one that was ever given, though this may be a copy that does not know the last of them: a dump
-- that was restored, a point in time, a standby that was behind (docs/protocol.md, "A copy of the
-- database").
CREATE TABLE kronii_server (
    only     BOOLEAN PRIMARY KEY DEFAULT true CHECK (only),
    -- Of the cluster, its timeline, the database, and the sequence of run ids in it.
    identity TEXT NOT NULL,
    -- When the fleet came here from another one; NULL: it has been here from the first run on.
    came_at  TIMESTAMP
);
