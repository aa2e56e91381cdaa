"""A bare loop: `python -m bench.popen THREADS SECONDS COMMAND…` prints how many commands a second
it ran.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time


def main(threads: int, seconds: float, command: list[str]) -> float:
    """Start, wait, start the next, in each thread."""
    counts = [0] * threads
    end = time.monotonic() + seconds

    def loop(place: int) -> None:
        while time.monotonic() < end:
            subprocess.Popen(command).wait()
            counts[place] += 1

    workers = [threading.Thread(target=loop, args=(place,)) for place in range(threads)]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - began)


if __name__ == "__main__":
    print(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
