-- What cannot be: parts larger than their whole, a day outside the months that were loaded.
ASSERT NOT EXISTS (
  SELECT 1
  FROM wifi_usage_by_day
  WHERE timed_sessions > sessions OR sites > sessions OR minutes < 0 OR median_minutes < 0
) AS 'wifi_usage_by_day: more timed sessions or sites than sessions, or a negative length';
ASSERT NOT EXISTS (
  SELECT 1
  FROM wifi_usage_by_day AS u
  LEFT JOIN ledger AS l
    ON l.dataset = 'paris_wifi_usage' AND l.slot = FORMAT_DATE('%Y-%m', u.day)
  WHERE l.slot IS NULL
) AS 'wifi_usage_by_day: a day lies in a month that was not loaded';
ASSERT NOT EXISTS (
  SELECT 1
  FROM wifi_sites_by_district
  WHERE open_sites + sites_of_unknown_state > sites
) AS 'wifi_sites_by_district: more open sites than sites';
