-- Grain: one row per year, weekday and hour in Paris, also where no session starts then.
-- Key: year, weekday_number, hour. Rates are per covered day of that weekday.
WITH days AS (
  SELECT
    year,
    weekday_number,
    weekday,
    COUNT(*) AS days,
    ANY_VALUE(is_partial_year) AS is_partial_year
  FROM wifi_days
  GROUP BY year, weekday_number, weekday
),
used AS (
  SELECT
    d.year,
    d.weekday_number,
    h.local_hour,
    SUM(h.sessions) AS sessions,
    SUM(h.sessions_counted) AS sessions_counted,
    SUM(h.milliseconds) AS milliseconds
  FROM lake.wifi_hours AS h
  JOIN wifi_days AS d ON d.day = h.local_day
  WHERE h.slot_start >= DATE '2012-01-01'
  GROUP BY d.year, d.weekday_number, h.local_hour
)
SELECT
  d.year,
  DATE(d.year, 1, 1) AS year_start,
  d.weekday_number,
  d.weekday,
  hour,
  d.days,
  COALESCE(u.sessions, 0) AS sessions,
  COALESCE(u.sessions_counted, 0) AS sessions_counted,
  COALESCE(u.milliseconds, 0) / 60000 AS minutes,
  COALESCE(u.sessions, 0) / d.days AS sessions_per_day,
  d.is_partial_year,
  COALESCE(u.sessions, 0) AS sample_size
FROM days AS d
CROSS JOIN UNNEST(GENERATE_ARRAY(0, 23)) AS hour
LEFT JOIN used AS u
  ON u.year = d.year AND u.weekday_number = d.weekday_number AND u.local_hour = hour
