-- Grain: one row per day in Paris and district; sessions of no known district are district 'unknown'.
-- Additive parts (sessions, minutes) are kept; means and medians are of this row's sessions only.
WITH sessions AS (
  SELECT
    local_day,
    district,
    site_code,
    duration_s
  FROM lake.wifi_sessions
  WHERE slot_start >= DATE '2012-01-01'
)
SELECT
  local_day AS day,
  COALESCE(CAST(district AS STRING), 'unknown') AS district,
  COUNT(*) AS sessions,
  COUNTIF(duration_s >= 0) AS timed_sessions,
  SUM(IF(duration_s >= 0, duration_s, 0)) / 60 AS minutes,
  COUNT(DISTINCT site_code) AS sites,
  APPROX_QUANTILES(IF(duration_s >= 0, duration_s, NULL), 2 IGNORE NULLS)[SAFE_OFFSET(1)] / 60
    AS median_minutes,
  COUNT(*) AS sample_size
FROM sessions
GROUP BY day, district
