"""APScheduler 3: a background scheduler, the SQLAlchemy store, a thread pool; no tick folded into
another or given up as late.
"""

from __future__ import annotations

import datetime
import time

from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from bench.peers.stamps import arguments, end, stamp


def nothing() -> None:
    """The job; its tick is known to the event that follows."""


def main() -> None:
    """Run for the time that was asked for."""
    url, jobs, seconds = arguments()
    scheduler = BackgroundScheduler(
        jobstores={
            "default": SQLAlchemyJobStore(url=url.replace("postgresql:", "postgresql+psycopg:"))
        },
        executors={"default": ThreadPoolExecutor(64)},
        job_defaults={"coalesce": False, "max_instances": 10, "misfire_grace_time": 3600},
        timezone=datetime.UTC,
    )
    scheduler.add_listener(
        lambda e: stamp(int(e.job_id), e.scheduled_run_time.timestamp()), EVENT_JOB_EXECUTED
    )
    scheduler.start(paused=True)
    for job in range(jobs):
        scheduler.add_job(
            "bench.peers.apscheduler3:nothing",
            CronTrigger(second="*", timezone=datetime.UTC),
            id=str(job),
        )
    scheduler.resume()
    time.sleep(seconds)
    end()


if __name__ == "__main__":
    main()
