-- The layers reconcile: what the ledger says was loaded is what the reports count.
ASSERT (
  SELECT COALESCE(SUM(sessions), 0) FROM wifi_usage_by_day
) = (
  SELECT COALESCE(SUM(rows_out), 0) FROM ledger WHERE dataset = 'paris_wifi_usage'
) AS 'wifi_usage_by_day: the sum of sessions is not the rows loaded';
ASSERT (
  SELECT COALESCE(SUM(sites), 0) FROM wifi_sites_by_district
) = COALESCE((
  SELECT rows_out
  FROM ledger
  WHERE dataset = 'paris_wifi_sites' AND rows_out > 0
  ORDER BY slot DESC
  LIMIT 1
), 0) AS 'wifi_sites_by_district: the sum of sites is not the rows of the latest list';
