"""A stand-in for BigQuery over DuckDB."""
