"""A stand-in for Pub/Sub."""
