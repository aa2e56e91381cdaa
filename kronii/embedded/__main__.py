"""`python -m kronii.embedded`: as `kronii run --embedded`."""

import sys

from kronii.embedded.launcher import launch

if __name__ == "__main__":
    sys.exit(launch([sys.executable, "-m", "kronii", "run", *sys.argv[1:]]))
