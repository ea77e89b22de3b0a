"""A stand-in for Cloud Storage."""
