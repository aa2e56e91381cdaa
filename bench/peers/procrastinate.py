"""procrastinate: periodic tasks and one worker, woken by LISTEN/NOTIFY."""

from __future__ import annotations

import asyncio

from procrastinate import App, PsycopgConnector

from bench.peers import stamps


def add(app: App, job: int) -> None:
    """One periodic task."""

    @app.periodic(cron="* * * * * *")
    @app.task(name=f"job-{job}")
    async def stamp(timestamp: int) -> None:
        stamps.stamp(job, timestamp)


async def main() -> None:
    """Run for the time that was asked for."""
    url, jobs, seconds = stamps.arguments()
    app = App(connector=PsycopgConnector(conninfo=url, min_size=4, max_size=20))
    for job in range(jobs):
        add(app, job)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(
            app.run_worker_async(
                concurrency=100, install_signal_handlers=False, delete_jobs="successful"
            )
        )
        await asyncio.wait([worker], timeout=seconds)
        if worker.done():
            worker.result()
        stamps.end()


if __name__ == "__main__":
    asyncio.run(main())
