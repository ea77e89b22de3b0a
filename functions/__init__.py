"""The Cloud Functions: one package for each step, and the layers they share.

`main.py` holds the entry points. Imports `catalog` and nothing else of ours.
"""
