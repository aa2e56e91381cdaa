"""The guard that outlives the instance: one small process that ends what the instance can't end
itself, and says so.

It shares a page of memory with its instance (`Board`) and holds the other end of a pipe.

- The pipe closes: the instance is dead (kill -9, out of memory, a crash).  The guard kills the
  process groups on the board and whatever carries the instance's mark, waits until they are gone,
  and then says so in the database: it ends the instance's session and its lease and notifies.  A
  death that is proven needs no waiting, so another instance re- runs the ticks at once.
- The lease's deadline passes and work still runs: the instance is stopped (SIGSTOP), or a python
  job would not return. Nothing but the end of the process ends such work, so the guard kills the
  instance; then the pipe closes.

The board is memory, not messages: a claim costs no system call, nothing can fill up, and what it
says survives the writer.
"""
