"""A look at a real project after `pulumi up`: `nox -s smoke -- STACK`.

One fetch is followed from its message to the reports, then what the steps rely on is asked of the
services themselves. Uses the steps' own clients; ships with nothing.
"""
