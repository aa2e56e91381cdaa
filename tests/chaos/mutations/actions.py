"""What runs, and how it is ended."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

COMMAND = "tests/unit/test_command.py::test_"

MUTATIONS = (
    Mutation(
        "a timeout ends the main process and misses its children",
        "kronii/actions/command.py",
        "    signal_group(group, number)\n",
        "    os.kill(group, number)\n",
        (COMMAND + "children_hear_the_term_themselves",),
    ),
    Mutation(
        "a daemon that holds the output keeps the worker",
        "kronii/actions/command.py",
        "        exited = pidfd in ready\n",
        "        exited = closed\n",
        (COMMAND + "a_grandchild_that_holds_the_pipe_is_ended_and_not_waited_for",),
    ),
    Mutation(
        "a function's BaseException is no failure of its own",
        "kronii/actions/python.py",
        "    except BaseException as error:\n",
        "    except Exception as error:\n",
        ("tests/unit/test_python.py::test_even_an_interrupt_is_the_functions_own",),
    ),
)
