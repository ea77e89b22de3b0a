"""The Cloud Functions: one module a step, and the thin modules they share.

`main.py` holds the entry points. Imports `catalog` and nothing else of ours.
"""
