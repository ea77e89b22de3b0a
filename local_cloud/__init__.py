"""The local cloud: stand-ins for the services that the stack uses."""
