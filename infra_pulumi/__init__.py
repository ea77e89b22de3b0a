"""The stack as code: one ComponentResource per concern, in loops over the catalog.

Only Pulumi and `catalog` come in here; nothing here names a data set.
"""
