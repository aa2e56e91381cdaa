"""The command `kronii`, which is also `python -m kronii`.

What comes first is in order: nothing of the working directory's is imported, and nobody looks into
the process.
"""

from kronii import isolation

isolation.leave_directory()

import sys  # noqa: E402 - see above
import traceback  # noqa: E402
from types import TracebackType  # noqa: E402

from kronii import secrecy  # noqa: E402
from kronii.commands import streams  # noqa: E402
from kronii.commands.main import main  # noqa: E402


def start() -> int:
    """Run the command and return its exit status."""
    secrecy.keep()
    sys.excepthook = _show_bug
    return main()


def _show_bug(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    """A traceback may repeat what somebody else has written."""
    streams.complain("".join(traceback.format_exception(error)).rstrip())


if __name__ == "__main__":
    sys.exit(start())
