"""What every part of citypulse agrees on: contracts, slots, runs, records and object names.

Pure: values in, values out, no network and no clients. Imports nothing of ours.
"""
