"""An instance among the others: its row in `nodes`, its identity, and what it goes on holding.

A new connection goes on under the lease that still stands; where it is over, everything that ran
under it must have ended before there may be a new identity.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence

from kronii import __version__
from kronii.database.home import Home, arrive
from kronii.database.session import Session
from kronii.errors import DatabaseUnavailable
from kronii.model import Claim
from kronii.schedule import tzdata_version

#: Why an instance has another identity than at its start.
ANEW = "a new life: the lease of the one before was over"
#: Seconds between two tries to take locks back that our old session still holds.
REACQUIRE_EVERY = 0.01


class Membership:
    """Joins, resumes and leaves.  Main thread only."""

    def __init__(self, session: Session, workers: int) -> None:
        """`workers` is shown in `nodes`."""
        self._session = session
        self._lease = session.lease
        self._workers = workers
        #: Monotonic second until which nothing may be claimed: after a failover a claim that the
        #: new server does not know of may still be running, for one lease at the most.
        self.quiet_until = 0.0
        #: Where the fleet is, as this session has found it.
        self.home = Home(None)
        self._file: int | None = None
        #: Why the identity is not the first; empty while it is.
        self._reason = ""
        #: True if `release` has left something.
        self.unreleased = False

    def resume(self, claims: Sequence[Claim], working: bool, file: int | None = None) -> set[int]:
        """Go on under the lease that still stands, or join under a new identity.

        Args:
            claims: those of this instance that have no committed outcome yet.
            working: True while any run is in flight here.
            file: what this instance holds, in `kronii_files`; None: as before.

        Returns:
            The runs whose locks could not be had again: that work must be ended.

        Raises:
            DatabaseUnavailable, DatabaseError: the session is of no more use.
        """
        self._file = self._file if file is None else file
        self._wait_after_failover()
        self._arrive()
        if self._lease.granted and not self._resume_lease():
            self._begin_anew(working)
        if not self._lease.granted:
            self._register_node()
            return set()
        identity = self._lease.identity
        own = {claim.run_id: claim.lock_key for claim in claims if claim.owner == identity}
        lost = self._reacquire(own)
        self.release(claims)
        return lost

    def release(self, claims: Sequence[Claim]) -> None:
        """Give back what this instance has claimed and does not know of; `unreleased` tells
        whether something is left that another session holds locked.  Arguments and errors are
        those of `resume`.
        """
        runs = [claim.run_id for claim in claims]
        ((left,),) = self._session.run("release", id=self._lease.identity, runs=runs)
        self.unreleased = bool(left)

    def note(self, what: str) -> None:
        """Note something of this instance for people (sql/0006_events.sql has the kinds)."""
        who = self._session.node
        self._session.run("note", what=what, who=who, reason="", details="{}")

    def leave(self) -> None:
        """Take this instance off the list: nobody has to wait for its lease."""
        self._session.run("leave", id=self._lease.identity)

    def _wait_after_failover(self) -> None:
        timeline = self._session.timeline
        if timeline and self._session.run("failed_over", timeline=timeline)[0][0]:
            self.quiet_until = self._session.monotonic() + self._lease.timings.length

    def _arrive(self) -> None:
        """On a copy of the database that the fleet has just come to, too, a claim from before that
        it does not know of may still be running.
        """
        self.home = arrive(self._session.run, self._session.copy)
        if self.home.since is not None:
            left = min(self._lease.timings.length, self._lease.timings.length - self.home.since)
            self.quiet_until = max(self.quiet_until, self._session.monotonic() + left)

    def _resume_lease(self) -> bool:
        """Renew a lease that still stands; False if it is over."""
        sent = self._session.monotonic()
        if not self._lease.held(sent) or not self._renewed_in_table():
            return False
        self._lease.renewed(sent)
        return True

    def _renewed_in_table(self) -> bool:
        return bool(
            self._session.run(
                "resume_lease",
                id=self._lease.identity,
                lease=self._lease.timings.length,
                application=self._session.name,
                timeline=self._session.timeline,
                file=self._file,
            )
        )

    def _begin_anew(self, working: bool) -> None:
        self._lease.end(self._session.monotonic())
        if working:
            raise DatabaseUnavailable("the lease is over: waiting for the end of what ran under it")
        self._session.run("end_life", id=self._lease.identity)
        self._lease.renew_identity()
        self._reason = ANEW
        self._session.run("rename_session", name=self._session.name)

    def _register_node(self) -> None:
        sent = self._session.monotonic()
        self._session.run(
            "register_node",
            id=self._lease.identity,
            name=self._session.node,
            pid=os.getpid(),
            host=socket.gethostname(),
            version=__version__,
            workers=self._workers,
            lease=self._lease.timings.length,
            timeline=self._session.timeline,
            tzdata=tzdata_version(),
            file=self._file,
            reason=self._reason,
        )
        self._lease.renewed(sent)

    def _reacquire(self, keys: Mapping[int, int]) -> set[int]:
        """Take the locks of runs (key by run) again; returns the runs whose lock was not to be had.

        Our own old session may take a moment to end, so what it holds is asked for until half of
        the margin is gone.
        """
        session, missing = self._session, dict(keys)
        give_up = session.monotonic() + self._lease.timings.margin / 2
        while missing:
            runs, wanted = list(missing), list(missing.values())
            for (run_id,) in session.run("reacquire", runs=runs, keys=wanted):
                session.locks.add(run_id, missing.pop(run_id))
            if not missing or session.monotonic() > give_up:
                break
            time.sleep(REACQUIRE_EVERY)  # the server ends the old backend and tells nobody
        return set(missing)
