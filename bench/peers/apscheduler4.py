"""APScheduler 4 (alpha): an asynchronous scheduler, the PostgreSQL store and event broker on
asyncpg.
"""

from __future__ import annotations

import asyncio

from apscheduler import AsyncScheduler, current_job
from apscheduler.datastores.sqlalchemy import SQLAlchemyDataStore
from apscheduler.eventbrokers.asyncpg import AsyncpgEventBroker
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peers import stamps


async def stamp(job: int) -> None:
    """The job."""
    tick = current_job.get().scheduled_fire_time
    stamps.stamp(job, tick.timestamp() if tick else None)


async def main() -> None:
    """Run for the time that was asked for."""
    url, jobs, seconds = stamps.arguments()
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"), pool_size=20)
    broker = AsyncpgEventBroker.from_async_sqla_engine(engine)
    async with AsyncScheduler(
        SQLAlchemyDataStore(engine), broker, max_concurrent_jobs=100
    ) as scheduler:
        await scheduler.configure_task("stamp", func=stamp, max_running_jobs=10_000)
        for job in range(jobs):
            await scheduler.add_schedule("stamp", CronTrigger(second="*"), id=str(job), args=[job])
        await scheduler.start_in_background()
        await asyncio.sleep(seconds)
        stamps.end()


if __name__ == "__main__":
    asyncio.run(main())
