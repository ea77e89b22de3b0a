"""Made-up publishers' data."""
