"""The cost of a stack in a month, idle and running: prices, workload, formula.

Reads contracts, SQL and the stack's own figures; ships with nothing. `nox -s cost` prints it.
"""
