"""The promises under every fault that can be made: real processes, real faults, an independent
record, a checker.

    plan (seed) ─▶ faults ─▶ world: a PostgreSQL of its own, N x `kronii run`
                               │ jobs write begin and end of their work themselves: `record`
                               ▼
    record, rows of runs and jobs, fault log, facts at the end ─▶ checker ─▶ report

`python -m tests.chaos --seconds 60 --seed 1` mixes all faults; `tests.chaos.failover` kills one
instance after the other and measures; `tests.chaos.soak` looks for what grows;
`tests.chaos.partition` cuts a cable.
"""
