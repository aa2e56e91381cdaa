"""`python -m kronii`."""

import sys

from kronii.cli import main

if __name__ == "__main__":
    sys.exit(main())
