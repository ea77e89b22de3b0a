"""What a stack costs in a month, idle and running: prices, what is used, the formula.

Reads contracts, SQL and the stack's own figures; ships with nothing. `nox -s cost` prints it.
"""
