"""Celery with RedBeat: a beat, a worker with a process for each core, and a Redis of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time

from celery import Celery

from bench.peers import stamps

app = Celery("bench", broker=os.environ.get("BENCH_REDIS"))
app.conf.update(
    task_ignore_result=True,
    beat_scheduler="redbeat.RedBeatScheduler",
    redbeat_redis_url=os.environ.get("BENCH_REDIS"),
    beat_max_loop_interval=1,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
    timezone="UTC",
    beat_schedule={
        f"job-{job}": {"task": "stamp", "schedule": 1.0, "args": (job,)}
        for job in range(int(os.environ.get("BENCH_JOBS", "0")))
    },
)


@app.task(name="stamp")
def stamp(job: int) -> None:
    """The job: its tick is not told."""
    stamps.stamp(job)


def main() -> None:
    """Run Redis, the worker and the beat for the time that was asked for."""
    _, jobs, seconds = stamps.arguments()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "BENCH_REDIS": f"redis://127.0.0.1:{port}/0",
        "BENCH_JOBS": str(jobs),
    }
    celery = [sys.executable, "-m", "celery", "--app", "bench.peers.celery_redbeat"]
    with tempfile.TemporaryDirectory() as folder:
        commands = [
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder],
            [*celery, "worker", "--loglevel", "ERROR", "--concurrency", str(os.cpu_count())],
            [*celery, "beat", "--loglevel", "ERROR", "--pidfile", ""],
        ]
        started = []
        try:
            for command in commands:
                started.append(
                    subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
                )
                time.sleep(1)
            time.sleep(seconds)
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(20)


if __name__ == "__main__":
    main()
