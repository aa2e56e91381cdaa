"""What a dead instance has left: it is ended, and its end is proven.

A look goes through every process of this host.  A process is the instance's own if it is in a group
of the board, carries one of the marks, or is a child of one that does.  It is *undecided* if we may
not read what decides.  A look is empty if it met neither, and missed nobody: it goes on while one
has ended before it was read, so that one which forks and ends all the time is met at its pace.  The
end is proven by two empty looks, one after the other and some time apart; where all of them are in
one control group, by its being empty.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field

from kronii import processes
from kronii.backoff import Backoff
from kronii.guard.cgroup import ControlGroup
from kronii.guard.parent import Origin
from kronii.processes import MARK_VARIABLE, Process, signal_group, signal_process

#: Seconds between two looks that met somebody: the first wait, and the longest.
LOOK_AGAIN = (0.002, 0.5)
#: Seconds at least between the two empty looks.
APART = 0.005
#: Seconds for which a process that is not ours needs no second reading: until then its number can't
#: have come round to another one.
REMEMBERED = 0.5
#: Times that one look lists the processes anew.  Where one has ended unread each time, the look is
#: not empty.
LISTINGS = 20


@dataclass
class Look:
    """What one look has found."""

    #: Process → process group of each that is the instance's.
    ours: dict[int, int] = field(default_factory=dict)
    #: Of some we could not tell.
    undecided: bool = False
    #: One of the last listing ended before it was read.
    missed: bool = False


class Survivors:
    """Ends what `instance` has left in `groups` and elsewhere.

    Args:
        variable: the mark in the environment of what it started.
        bound: the mark among their limits; 0 if there is none.
        cgroup: a control group that holds all of them, and the instance, which is dead; None if
            there is none.
    """

    def __init__(
        self,
        groups: list[int],
        variable: str,
        bound: int,
        instance: Origin,
        cgroup: ControlGroup | None = None,
    ) -> None:
        self._groups = set(groups)
        self._variable = f"{MARK_VARIABLE}={variable}\0".encode()
        self._bound = bound
        self._instance = instance
        self._cgroup = cgroup
        self._met: set[int] = set()
        self._met_now = False
        #: Processes that are not ours, until monotonic second `_others_until`.
        self._others: set[int] = set()
        self._others_until = 0.0
        self._backoff = Backoff(*LOOK_AGAIN)
        self._empty_since = 0.0

    def end(self, give_up: float, prove: bool = True) -> bool:
        """Kill until a look is empty; False if none was by monotonic second `give_up`.

        Without `prove`, what can't be told is no reason to look again.
        """
        for group in self._groups:
            signal_group(group, signal.SIGKILL)
        while not self._look():
            now = time.monotonic()
            if now >= give_up or not (prove or self._met_now):
                return False
            time.sleep(self._backoff.failed(now))  # the kernel tells an end to the parent alone
        self._empty_since = time.monotonic()
        return True

    def confirm(self, give_up: float) -> bool:
        """After `end`: look a second time, and return True if that was empty, too.

        If it was not, all begins anew.
        """
        while True:
            time.sleep(max(0.0, self._empty_since + APART - time.monotonic()))
            if self._look():
                return True
            if not self.end(give_up):
                return False

    # -- one look ----------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Kill what is ours; True if nothing was, and nothing can have been missed."""
        if self._cgroup:
            self._cgroup.kill()
        shown = processes.all_are_shown()
        look = self._read_all()
        # A number that is free may be taken anew.
        self._groups.intersection_update(look.ours.values())
        self._met_now = bool(look.ours)
        if look.ours:
            return False
        return self._cgroup.empty() if self._cgroup else shown and not look.undecided

    def _read_all(self) -> Look:
        """Read every process, and list them again as long as one ended before it was read: it may
        have begun another one behind the listing.
        """
        look = Look()
        seen = {self._instance.pid, *self._remembered(time.monotonic())}
        for _ in range(LISTINGS):
            new = [pid for pid in processes.process_ids() if pid not in seen]
            seen.update(new)
            look.missed = False
            for pid in new:
                self._settle(pid, look)
            if not look.missed:
                return look
        look.undecided = True
        return look

    def _remembered(self, now: float) -> set[int]:
        if now >= self._others_until:
            self._others.clear()
            self._others_until = now + REMEMBERED
        return self._others

    def _settle(self, pid: int, look: Look) -> None:
        """Kill a process if it is ours, and note what it is."""
        try:
            process = processes.process(pid)
        except PermissionError:
            look.undecided = True
            return
        verdict = process and (process.parent in look.ours or self._is_ours(process))
        if process and verdict:
            look.ours[pid] = process.group
            self._kill(process)
        elif not process or not processes.exists(pid):
            look.missed = True
        elif verdict is None:
            look.undecided = True
        else:
            self._others.add(pid)

    def _kill(self, process: Process) -> None:
        """Kill a process, with its group where all of that is ours: it can't fork itself away."""
        if process.pid not in self._met:
            self._met.add(process.pid)
            self._backoff.succeeded()
        signal_process(process.pid, signal.SIGKILL)
        if self._began_its_session(process):
            signal_group(process.group, signal.SIGKILL)

    def _began_its_session(self, process: Process) -> bool:
        """True if one of ours began the session of this one, as everybody in there is ours then.

        A session has no members but its beginner and whoever descends from that.
        """
        elsewhere = process.session != self._instance.session != 0
        return elsewhere and self._bound != 0 and self._is_bound(process.pid) is True

    def _is_ours(self, process: Process) -> bool | None:
        """True if a process is ours, False if it is not, None if we can't tell."""
        if process.group in self._groups:
            return True
        if process.kernel or process.started < self._instance.started:
            return False
        environment = processes.environment(process.pid)
        if environment and self._variable in environment:
            return True
        if self._bound:
            return self._is_bound(process.pid)
        # Only the environment is left to tell.  One that is empty or hidden tells nothing, nor does
        # the instance's own, which a child has until its exec.
        unknown = not environment or environment == self._instance.environment
        return None if unknown else False

    def _is_bound(self, pid: int) -> bool | None:
        bound = processes.realtime_limit(pid)
        return None if bound is None else bound == self._bound
