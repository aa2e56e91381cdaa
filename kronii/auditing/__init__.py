"""Which ticks were owed, and what became of them: pure functions of rows.

A tick is owed in the times in which a definition of its job was in force, enabled and not paused,
by the schedule that was in force then.  All that is found follows from the record alone, and where
the record contradicts itself, that is found, too.

    rows ─▶ facts (a record for each job)
              ├─▶ story     do stretches, events and the job's row tell one story?
              ├─▶ legs      when were ticks owed, by which schedule, up to where settled?
              │     └─▶ accounts   owed ticks against moments that have an outcome
              ├─▶ attempts  can the runs of one tick be what the protocol makes of it?
              ├─▶ beside    did two runs go on at the same time?
              └─▶ standing  where does the job stand, and what waits there?
                        judging ─▶ findings (problems, what waits, what can't be judged)

Stretches and events are compared to the microsecond (`told`); `fleet` looks at instances' events.
"""

from kronii.auditing.facts import Event, Job, Ran, Record, Stretch, Window
from kronii.auditing.findings import Audit, Problem, Unaccounted, Verdict, Waiting
from kronii.auditing.judging import audit

__all__ = [
    "Audit",
    "Event",
    "Job",
    "Problem",
    "Ran",
    "Record",
    "Stretch",
    "Unaccounted",
    "Verdict",
    "Waiting",
    "Window",
    "audit",
]
