"""The guard that outlives the instance: one small process that ends what the instance can't end
itself, and says so.

It shares a page of memory with its instance (`Board`) and holds the other end of a pipe.

- The pipe closes: the instance is dead (kill -9, out of memory, a crash).  The guard kills the
  process groups on the board and every process that carries the instance's mark, and waits until
  they are gone.  Then it says so in the database: it ends the instance's session and its lease, and
  notifies the others.  A death that is proven needs no waiting, so another instance runs the ticks
  again at once.
- The lease's deadline passes and work still runs: the instance is stopped (SIGSTOP), or a python
  job does not return.  Only the end of the process ends such work, so the guard kills the
  instance; then the pipe closes.

The board is memory and not a stream of messages: a claim costs no system call, nothing can fill up,
and what the board says survives its writer.

`board` is what both share, `instance` is the instance's side, and `process` is the guard's own,
which speaks its `lastwords` to the database.
"""
