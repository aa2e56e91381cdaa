"""The remedies that `python -m tests.chaos.mutations` takes out, a module for each layer."""

from tests.chaos.mutations import actions, database, definitions, foundations, guard, instance
from tests.chaos.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *foundations.MUTATIONS,
    *definitions.MUTATIONS,
    *database.MUTATIONS,
    *guard.MUTATIONS,
    *actions.MUTATIONS,
    *instance.MUTATIONS,
)

__all__ = ["MUTATIONS", "Mutation"]
