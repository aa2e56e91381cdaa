"""`python -m kronii`."""

import sys

from kronii.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
