"""Measures the shipped steps beside what a user would pick instead: `nox -s bench -- split`.

Nothing here ships. What is timed runs as a process of its own; nothing may import from here.
"""
