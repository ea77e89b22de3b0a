"""Accounts, roles and the check of each call's permission."""
