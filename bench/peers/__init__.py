"""The same work on the schedulers that people use today, each in an environment of its own.

`python -m bench.peers [NAME…]` makes the environments (below `.kronii-peers/`, pinned by the lists
in `__main__`), runs N jobs that are due every second on each, and prints how late they started and
what was lost or run twice.  The modules beside this one run inside those environments, one for each
peer: `python -m bench.peers.NAME URL JOBS SECONDS FOLDER`.
"""
