"""Benchmarks: `python -m bench [NAME…] [--rounds N] [--seconds N]`, and `python -m bench.peers`.

    tests.support ◀─ database ◀─ fleet ◀─ window ◀─ rows ◀─ __main__ ─▶ table

Each row of the table is one function in `throughput`, `lateness` or `scale`; it starts real
instances on a fresh database, and checks its own run for lost and doubled ticks.  Ratios are of two
measurements in the same round.
"""
