-- The layers reconcile: what the ledger says was loaded, month by month, is what the base table, the
-- additive parts and the reports count.
ASSERT NOT EXISTS (
  SELECT 1
  FROM wifi_months
  WHERE sessions_in_lake != sessions
    OR sessions_in_site_days != sessions
    OR sessions_in_languages != sessions
    OR sessions_in_hours != sessions
    OR sessions_in_days != sessions
) AS 'wifi_months: a month has not the same sessions in ledger, sessions, parts and days';
ASSERT (
  SELECT MIN(COALESCE(sessions, 0)) = MAX(COALESCE(sessions, 0))
  FROM (
    SELECT 'ledger' AS layer, SUM(rows_out) AS sessions
    FROM ledger
    WHERE dataset = 'paris_wifi_usage'
    UNION ALL
    SELECT 'months', SUM(sessions) FROM wifi_months
    UNION ALL
    SELECT 'days and districts', SUM(sessions) FROM wifi_usage_by_day
    UNION ALL
    SELECT 'years', SUM(sessions) FROM wifi_usage_by_year
    UNION ALL
    SELECT 'types of day', SUM(sessions) FROM wifi_day_types
    UNION ALL
    SELECT CONCAT('lengths by ', cut), SUM(sessions) FROM wifi_session_length GROUP BY cut
    UNION ALL
    SELECT 'sites and districts', SUM(sessions) FROM wifi_site_use
    UNION ALL
    SELECT 'sites', SUM(sessions) FROM wifi_site_years
    UNION ALL
    SELECT 'districts', SUM(sessions) FROM wifi_district_use
    UNION ALL
    SELECT 'languages', SUM(sessions) FROM wifi_languages
    UNION ALL
    SELECT 'devices', SUM(sessions) FROM wifi_devices
    UNION ALL
    SELECT 'hours', SUM(sessions) FROM wifi_week_hours
    UNION ALL
    SELECT 'volumes', SUM(sessions) FROM wifi_data_volume
  ) AS l
) AS 'the sum of sessions is not the rows loaded in every report';
ASSERT (
  SELECT COALESCE(
    MIN(counted) = MAX(counted) AND MAX(minutes) - MIN(minutes) <= 1e-6 * MAX(minutes), TRUE
  )
  FROM (
    SELECT SUM(sessions_counted) AS counted, SUM(minutes) AS minutes FROM wifi_usage_by_day
    UNION ALL
    SELECT SUM(sessions_counted), SUM(minutes) FROM wifi_session_length WHERE cut = 'all'
    UNION ALL
    SELECT SUM(sessions_counted), SUM(minutes) FROM wifi_languages
    UNION ALL
    SELECT SUM(sessions_counted), SUM(minutes) FROM wifi_days
  ) AS l
) AS 'sessions, site days, languages and hours differ in counted sessions or their minutes';
ASSERT (
  SELECT COALESCE(SUM(sample_size), 0) FROM wifi_site_history
) = (
  SELECT COALESCE(SUM(rows_out), 0) FROM ledger WHERE dataset = 'paris_wifi_sites'
) AS 'wifi_site_history: its periods do not hold every row of every list once';
ASSERT (
  SELECT COALESCE(SUM(sites), 0) FROM wifi_sites_by_district
) = COALESCE((
  SELECT rows_out
  FROM ledger
  WHERE dataset = 'paris_wifi_sites' AND rows_out > 0
  ORDER BY slot DESC
  LIMIT 1
), 0) AS 'wifi_sites_by_district: the sum of sites is not the rows of the newest list';
