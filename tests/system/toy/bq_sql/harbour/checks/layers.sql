-- What the ledger says was loaded is what the report counts.
ASSERT (
  SELECT COALESCE(SUM(sample_size), 0) FROM tide_by_hour
) = (
  SELECT COALESCE(SUM(rows_out), 0) FROM ledger WHERE dataset = 'harbour_gauges'
) AS 'tide_by_hour: the reports counted are not the rows loaded';
