"""Publish the newest snapshot of a data set as a table."""
