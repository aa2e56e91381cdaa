"""The remedies that `python -m tests.chaos.mutations` takes out, a module for each layer."""

from tests.chaos.mutations import (
    actions,
    auditing,
    database,
    definitions,
    foundations,
    guard,
    host,
    instance,
    limits,
    ownership,
    pauses,
    sizes,
    statements,
    surface,
    web,
)
from tests.chaos.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *foundations.MUTATIONS,
    *definitions.MUTATIONS,
    *auditing.MUTATIONS,
    *database.MUTATIONS,
    *guard.MUTATIONS,
    *actions.MUTATIONS,
    *web.MUTATIONS,
    *instance.MUTATIONS,
    *host.MUTATIONS,
    *ownership.MUTATIONS,
    *statements.MUTATIONS,
    *surface.MUTATIONS,
    *limits.MUTATIONS,
    *pauses.MUTATIONS,
    *sizes.MUTATIONS,
)

__all__ = ["MUTATIONS", "Mutation"]
