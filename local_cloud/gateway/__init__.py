"""The proxy that calls to storage, BigQuery, Dataproc and tokens pass."""
