"""The faults: one function and one row of a module's table each.

instance (processes of one place), host (what its host does to it), server (the PostgreSQL server
and its sessions), files (the jobs file and its reloads), database (what the database refuses),
network (cables).
"""
