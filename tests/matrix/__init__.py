"""The tests on each version of PostgreSQL and of Python that can be had: `make matrix`."""
