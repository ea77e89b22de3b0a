"""The proxy that all calls to the stand-ins pass."""
