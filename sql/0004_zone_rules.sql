-- usable from: 2
--
-- Under which zone rules a job's next tick was computed, and which an instance goes by.  An earlier
-- release writes neither, so both are empty there: not known.

ALTER TABLE jobs ADD COLUMN zone_rules TEXT NOT NULL DEFAULT '';  -- `Schedule.rules`
ALTER TABLE nodes ADD COLUMN tzdata TEXT NOT NULL DEFAULT '';     -- `2026a`
