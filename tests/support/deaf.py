"""An address where every connection hangs, as behind a firewall that drops packets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port of 127.0.0.1 whose queue is full: who connects gets no answer at all."""
    with socket.socket() as listening, contextlib.ExitStack() as held:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        while _is_answered(listening.getsockname(), held):
            pass
        yield listening.getsockname()[1]


def _is_answered(where: tuple[str, int], held: contextlib.ExitStack) -> bool:
    """Take one place of the queue; False if there was none."""
    client = held.enter_context(socket.socket())
    client.settimeout(0.2)
    try:
        client.connect(where)
    except TimeoutError:
        return False
    return True
