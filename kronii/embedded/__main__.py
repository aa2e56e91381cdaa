"""`python -m kronii.embedded`: as `kronii run --embedded`."""

import sys

from kronii import isolation
from kronii.embedded.launcher import launch

if __name__ == "__main__":
    sys.exit(launch(isolation.becoming("kronii", "run", *sys.argv[1:])))
