"""What signals ask for.  A handler only notes it and rings the bell; the main thread acts."""

from __future__ import annotations

import signal
from types import FrameType

from kronii.instance.reload import Reload
from kronii.instance.wakeup import Wakeup


class Signals:
    """TERM and INT stop, a second one ends the runs at once; HUP reloads."""

    def __init__(self, wakeup: Wakeup, reload: Reload) -> None:
        """Nothing is caught yet."""
        self._wakeup = wakeup
        self._reload = reload
        #: How many times a stop was asked for.
        self.stops = 0

    def catch(self) -> None:
        """From here on signals are heard (main thread)."""
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)

    @staticmethod
    def ignore() -> None:
        """From here on only the interpreter ends, and it would make signals deadly again."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1
        self._wakeup.ring()

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload.ask()
