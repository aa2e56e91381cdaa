"""The commands: one module for each group of them.

  main ─▶ parser ─▶ run · file · history · operations · audit · doctor · nodes · schema
                                   │
                                   └─ as a command runs ─▶ session · rows · control · owed · checks

A group's module holds how its commands are added to the parser, and the functions that run them.
All of them are imported for `kronii --help`, so they import what takes long (the database's driver,
croniter, yaml) in the functions that need it, and longer work has a module of its own: `control`
for operations, `owed` for audit, `checks` for doctor.
"""
