-- usable from: 2
--
-- On which copy of its database the fleet works.  Run ids, which jobs see as fencing tokens, must
-- go on above every one that was ever given, and a copy need not know the last of them: a dump
-- that was restored, a point in time, a standby that was behind (docs/protocol.md, "A copy of the
-- database").
CREATE TABLE kronii_server (
    one_row  BOOLEAN PRIMARY KEY DEFAULT true CHECK (one_row),
    -- Of the cluster, its timeline, the database, and the sequence of run ids in it.
    identity TEXT NOT NULL,
    -- When the fleet came here from another one; NULL: it has been here from the first run on.
    came_at  TIMESTAMP
);
