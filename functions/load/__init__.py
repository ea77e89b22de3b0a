"""Step 5: load the files of a batch into BigQuery and swap its slots."""
