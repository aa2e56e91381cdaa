"""One `kronii run`: the loop, its threads, and their start and end."""
