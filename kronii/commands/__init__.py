"""`kronii COMMAND`."""
