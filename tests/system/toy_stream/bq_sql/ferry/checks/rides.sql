-- What the ledger says was loaded is what the report counts.
ASSERT (
  SELECT COALESCE(SUM(sample_size), 0) FROM rides_by_hour
) = (
  SELECT COALESCE(SUM(rows_out), 0) FROM ledger WHERE dataset = 'ferry_taps'
) AS 'rides_by_hour: the rides counted are not the rows loaded';
