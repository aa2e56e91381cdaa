"""What users and their tools see: the web and the commands."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

DOCTOR = "tests/e2e/commands/test_doctor.py::test_"

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
    Mutation(
        "doctor, asked which rights are missing, says to ask doctor",
        "kronii/commands/accesschecks.py",
        "    except (DatabaseRefusal, Contended):\n        return False\n",
        "    except Contended:\n        return False\n",
        (DOCTOR + "without_the_schema_s_version_all_grants_are_named_at_once",),
    ),
    Mutation(
        "doctor finds a database right in which an instance does not start",
        "kronii/commands/checks.py",
        "        migrations.rehearse(connection)\n",
        "        pass\n",
        (
            DOCTOR + "where_there_is_no_schema_a_table_of_somebody_else_s_is_a_problem",
            DOCTOR + "where_there_is_no_schema_it_must_be_possible_to_make_it",
        ),
    ),
    Mutation(
        "another application's jobs are praised by doctor",
        "kronii/commands/accesschecks.py",
        "        adoption.require_original(connection)\n",
        "        pass\n",
        (DOCTOR + "where_there_is_no_schema_a_table_of_somebody_else_s_is_a_problem",),
    ),
    Mutation(
        "who lingers is not seen by a role that is not shown since when",
        "sql/holders.sql",
        "@seconds(%(longer)s), true)",
        "@seconds(%(longer)s), false)",
        (DOCTOR + "who_is_at_a_row_is_named_though_since_when_is_not_shown",),
    ),
    Mutation(
        "who keeps a table that doctor can't read is not named",
        "kronii/commands/checks.py",
        '            naming("it could not be looked at", lambda: tables_held(connection)),\n',
        "",
        (DOCTOR + "who_keeps_a_whole_table_is_named_by_each_check_that_meets_it",),
    ),
    Mutation(
        "the driver's own lines stand among a command's",
        "kronii/database/connections.py",
        'logging.getLogger("psycopg").setLevel(logging.ERROR)',
        'logging.getLogger("psycopg").setLevel(logging.WARNING)',
        (DOCTOR + "the_driver_says_nothing_beside_the_command",),
    ),
)
