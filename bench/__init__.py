"""Measures the shipped steps against common alternatives: `nox -s bench -- split`.

Nothing here ships. Each timed piece runs as a process of its own; no other package may import from here.
"""
