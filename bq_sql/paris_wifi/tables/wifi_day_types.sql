-- Grain: one row per year and type of day that is covered. Key: year, day_type.
-- Rates are per calendar day covered, with sessions or without (W2); holidays are their own (W16).
SELECT
  year,
  DATE(year, 1, 1) AS year_start,
  day_type,
  COUNT(*) AS days,
  COUNTIF(sessions = 0) AS days_without_sessions,
  COUNTIF(NOT holidays_known) AS days_of_unknown_holidays,
  SUM(sessions) AS sessions,
  SUM(sessions_counted) AS sessions_counted,
  SUM(milliseconds) / 60000 AS minutes,
  SUM(sessions) / COUNT(*) AS sessions_per_day,
  SUM(milliseconds) / 60000 / COUNT(*) AS minutes_per_day,
  SAFE_DIVIDE(SUM(milliseconds) / 60000, SUM(sessions_counted)) AS minutes_per_session,
  ANY_VALUE(is_partial_year) AS is_partial_year,
  SUM(sessions) AS sample_size
FROM wifi_days
GROUP BY year, day_type
