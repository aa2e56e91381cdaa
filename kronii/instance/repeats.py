"""What is tried again and again is said once, and then from time to time."""

from __future__ import annotations

from kronii.logs import Log

#: Seconds until the same is said again.
EVERY = 60.0


class Repeats:
    """What was said lately.  One thread's."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: dict[str, float] = {}

    def due(self, reason: str, now: float) -> bool:
        """True if `reason` was not said within EVERY seconds before monotonic second `now`: it is
        to be said.  Reasons that come by turns are each said so often.
        """
        self._said = {text: at for text, at in self._said.items() if now - at < EVERY}
        if reason in self._said:
            return False
        self._said[reason] = now
        return True

    def over(self) -> None:
        """What is said next is news."""
        self._said.clear()


class Refusal:
    """Why something that is tried again and again does not succeed: said once for each reason, for
    a missing grant stays missing.  One thread's.
    """

    def __init__(self, log: Log, sentence: str) -> None:
        """Nothing was said yet; `sentence` is what a reason is said with."""
        self._log = log
        self._sentence = sentence
        self._said: str | None = None

    def because(self, error: Exception) -> None:
        """It was tried in vain."""
        if str(error) != self._said:
            self._log.warning(self._sentence, error=str(error))
        self._said = str(error)

    def over(self) -> None:
        """It succeeded."""
        self._said = None
