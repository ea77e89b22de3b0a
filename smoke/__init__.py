"""A check of a real project after `pulumi up`: `nox -s smoke -- STACK`.

It checks the services for what the steps rely on, then follows one fetch from its message to the
reports. Uses the steps' own clients; ships with nothing.
"""
