"""Under `catch_up: latest` one run stands for all the ticks that were missed."""

from __future__ import annotations

from collections.abc import Sequence

from kronii.database.session import Session
from kronii.model import Claim


def move(session: Session, moved: Sequence[tuple[Claim, Claim]]) -> None:
    """Commit that claims, each as it was and as it is now, are for a later tick, standing for
    `missed` earlier ones.

    Raises:
        DatabaseUnavailable, DatabaseError: the session is of no more use: drop it.
    """
    session.run(
        "move",
        id=session.lease.identity,
        ids=[claim.job_id for claim, _ in moved],
        runs=[claim.run_id for claim, _ in moved],
        olds=[claim.scheduled_for for claim, _ in moved],
        ticks=[claim.scheduled_for for _, claim in moved],
        missed=[claim.missed for _, claim in moved],
    )
