"""The HTTP API of reports."""
