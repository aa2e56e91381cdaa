"""pgqueuer: its scheduler on an asyncpg pool."""

from __future__ import annotations

import asyncio

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Schedule
from pgqueuer.queries import Queries

from bench.peers import stamps


def add(queue: PgQueuer, job: int) -> None:
    """One schedule."""

    @queue.schedule(f"job-{job}", "* * * * * *")
    async def stamp(schedule: Schedule) -> None:
        stamps.stamp(job)


async def main() -> None:
    """Run for the time that was asked for."""
    url, jobs, seconds = stamps.arguments()
    async with asyncpg.create_pool(url, min_size=4, max_size=20) as pool:
        driver = AsyncpgPoolDriver(pool)
        await Queries(driver).install()
        queue = PgQueuer(driver)
        for job in range(jobs):
            add(queue, job)
        worker = asyncio.create_task(queue.run())
        await asyncio.wait([worker], timeout=seconds)
        if worker.done():
            worker.result()
        stamps.end()


if __name__ == "__main__":
    asyncio.run(main())
