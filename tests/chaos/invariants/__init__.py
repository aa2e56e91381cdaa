"""What must hold of a history, whatever faults it went through.

Each invariant is a function from a history to the sentences that say where it is broken; none: it
holds.  Each module ends with the table of its own.  Nothing here asks Kronii: ticks are counted
from the minute's beginning, order is the order of lines in the record.  `kronii audit` is one more
witness, whose word is compared with these.
"""
