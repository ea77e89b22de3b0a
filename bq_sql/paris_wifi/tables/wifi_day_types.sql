-- Grain: one row per year and type of day that is covered. Key: year, day_type.
-- Rates are per calendar day covered, with sessions or without (W2); holidays are their own (W16).
WITH years AS (
  SELECT
    year,
    COUNT(*) < EXTRACT(DAYOFYEAR FROM DATE(year, 12, 31)) AS is_partial
  FROM wifi_days
  GROUP BY year
)
SELECT
  d.year,
  DATE(d.year, 1, 1) AS year_start,
  d.day_type,
  COUNT(*) AS days,
  COUNTIF(d.sessions = 0) AS days_without_sessions,
  COUNTIF(NOT d.holidays_known) AS days_of_unknown_holidays,
  SUM(d.sessions) AS sessions,
  SUM(d.sessions_counted) AS sessions_counted,
  SUM(d.milliseconds) / 60000 AS minutes,
  SUM(d.sessions) / COUNT(*) AS sessions_per_day,
  SUM(d.milliseconds) / 60000 / COUNT(*) AS minutes_per_day,
  SAFE_DIVIDE(SUM(d.milliseconds) / 60000, SUM(d.sessions_counted)) AS minutes_per_session,
  ANY_VALUE(y.is_partial) AS is_partial_year,
  SUM(d.sessions) AS sample_size
FROM wifi_days AS d
JOIN years AS y ON y.year = d.year
GROUP BY d.year, d.day_type
