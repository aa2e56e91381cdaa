"""What users and their tools see: the web and the commands."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        "idle clients keep every scrape away",
        "kronii/web/handler.py",
        "CLIENT_TIMEOUT = 5.0",
        "CLIENT_TIMEOUT = 500.0",
        ("tests/unit/test_web.py::test_idle_clients_are_let_go_of_before_a_scrape_gives_up",),
    ),
    Mutation(
        "an instance is shown with everybody's locks",
        "kronii/commands/nodes.py",
        'sum(lock["node"] == instance["name"] for lock in locks)',
        "len(locks)",
        ("tests/e2e/commands/test_nodes.py::test_who_runs_what_and_who_holds_which_lock",),
    ),
    Mutation(
        "instances with other time zone rules are not seen",
        "kronii/commands/checks.py",
        "    if len(versions) > 1:\n",
        "    if False:\n",
        ("tests/e2e/commands/test_doctor.py::test_other_time_zone_rules_are_seen",),
    ),
    Mutation(
        "doctor does not look who may write the files",
        "kronii/commands/filechecks.py",
        "[_defined(settings.jobs_file), *_decided_by_others(settings)]",
        "[_defined(settings.jobs_file)]",
        (
            "tests/unit/commands/test_filechecks.py::test_who_may_write_what_decides_is_a_warning",
            "tests/unit/commands/test_filechecks.py::test_what_root_would_refuse_is_78",
        ),
    ),
    Mutation(
        "nobody is warned that others may write the address's file",
        "kronii/settings/settings.py",
        "        yield ownership.check(directory / named, named)\n",
        "        pass\n",
        ("tests/unit/test_settings.py::test_a_file_that_others_may_write_is_a_warning",),
    ),
)
