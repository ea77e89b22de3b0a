-- Grain: one row per year and cut of its sessions: all of them, a district, a type of day.
-- Key: year, cut, member. Each cut holds every session once: never add over cuts. Which lengths
-- count is the lake's length_class (W11); the median stands beside the mean (W3).
WITH sessions AS (
  SELECT
    EXTRACT(YEAR FROM s.local_day) AS year,
    s.place,
    d.day_type,
    d.is_partial_year,
    s.minutes,
    s.milliseconds,
    s.length_class
  FROM lake.wifi_sessions AS s
  LEFT JOIN wifi_days AS d ON d.day = s.local_day
  WHERE s.slot_start >= DATE '2012-01-01'
)
SELECT
  year,
  DATE(year, 1, 1) AS year_start,
  CASE
    WHEN GROUPING(place) = 0 THEN 'district'
    WHEN GROUPING(day_type) = 0 THEN 'day type'
    ELSE 'all'
  END AS cut,
  CASE
    WHEN GROUPING(place) = 0 THEN place
    WHEN GROUPING(day_type) = 0 THEN day_type
    ELSE 'all'
  END AS member,
  COUNT(*) AS sessions,
  COUNT(minutes) AS sessions_counted,
  COALESCE(SUM(milliseconds), 0) / 60000 AS minutes,
  SAFE_DIVIDE(SUM(milliseconds) / 60000, COUNT(minutes)) AS minutes_per_session,
  APPROX_QUANTILES(minutes, 1000 IGNORE NULLS)[SAFE_OFFSET(500)] AS median_minutes,
  MIN(minutes) AS shortest_minutes,
  MAX(minutes) AS longest_minutes,
  COUNTIF(length_class = 'missing') AS sessions_missing_length,
  COUNTIF(length_class = 'zero') AS sessions_zero,
  COUNTIF(length_class = 'negative') AS sessions_negative,
  COUNTIF(length_class = 'over_limit') AS sessions_over_limit,
  LOGICAL_OR(is_partial_year) AS is_partial_year,
  COUNT(*) AS sample_size
FROM sessions
GROUP BY GROUPING SETS ((year), (year, place), (year, day_type))
