"""A PostgreSQL of one's own for `make run` and the tests; production never comes here."""

from kronii.embedded.server import Server, private_server, server, shared_directory

__all__ = ["Server", "private_server", "server", "shared_directory"]
