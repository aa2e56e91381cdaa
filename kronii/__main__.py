"""`python -m kronii`, which looks for modules in the working directory first: it is left before
anything else of ours, and of others, is imported.
"""

from kronii import isolation

isolation.leave_directory()

import sys  # noqa: E402 - see above

from kronii.commands.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
