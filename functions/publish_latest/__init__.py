"""The step `show`: publish the newest snapshot of a data set as a table."""
