"""Read reports from BigQuery, with a cache."""
