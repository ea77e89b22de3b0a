-- Grain: one row per station that a fetch of the last two days shows. Key: stationcode.
-- The newest report of each, and how old it is at the newest fetch: no clock is asked.
WITH newest AS (
  SELECT
    stationcode,
    neighbourhood,
    last_reported_at,
    last_fetched_at,
    last_mechanical,
    last_ebike,
    last_docks,
    last_is_closed,
    observations
  FROM lake.velib_station_hours
  WHERE slot_start >= TIMESTAMP_SUB(@run_time, INTERVAL 2 DAY)
  QUALIFY ROW_NUMBER() OVER (PARTITION BY stationcode ORDER BY slot_start DESC) = 1
),
fetched AS (
  SELECT MAX(last_fetched_at) AS fetched_at
  FROM newest
),
aged AS (
  SELECT
    n.*,
    f.fetched_at,
    TIMESTAMP_DIFF(f.fetched_at, n.last_reported_at, SECOND) / 60 AS report_age_minutes,
    TIMESTAMP_DIFF(f.fetched_at, n.last_fetched_at, MINUTE) <= 20 AS is_shown
  FROM newest AS n
  CROSS JOIN fetched AS f
)
SELECT
  a.stationcode,
  h.name,
  COALESCE(h.neighbourhood, a.neighbourhood) AS neighbourhood,
  h.lat,
  h.lon,
  CASE
    WHEN a.last_is_closed THEN 'closed'
    WHEN NOT a.is_shown THEN 'not shown'
    WHEN a.report_age_minutes >= 1440 THEN 'stale'
    WHEN a.last_mechanical IS NULL OR a.last_ebike IS NULL OR a.last_docks IS NULL THEN 'no counts'
    WHEN a.last_mechanical + a.last_ebike = 0 AND a.last_docks = 0 THEN 'unusable'
    WHEN a.last_mechanical + a.last_ebike = 0 THEN 'empty'
    WHEN a.last_docks = 0 THEN 'full'
    ELSE 'in use'
  END AS state,
  a.last_mechanical AS mechanical,
  a.last_ebike AS ebikes,
  a.last_docks AS docks,
  SAFE_DIVIDE(
    a.last_mechanical + a.last_ebike, a.last_mechanical + a.last_ebike + a.last_docks
  ) * 100 AS fill_percent,
  a.last_reported_at AS reported_at,
  a.last_fetched_at AS shown_at,
  a.fetched_at,
  a.report_age_minutes,
  h.stationcode IS NOT NULL AS is_in_history,
  a.observations AS sample_size
FROM aged AS a
LEFT JOIN velib_station_history AS h ON h.stationcode = a.stationcode AND h.is_current
