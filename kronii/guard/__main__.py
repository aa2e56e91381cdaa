"""`python -m kronii.guard`, as the instance starts it."""

import os
import sys

from kronii.guard.process import main

if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # the instance waits: no orderly end of the interpreter, which takes the longest
