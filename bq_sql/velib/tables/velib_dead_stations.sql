-- Grain: one row per station that a fetch of the last 28 days shows and that has not reported for a day,
-- is closed, or that no fetch of the last two days shows. Key: stationcode. One that was taken away is
-- listed for 28 days, then its history alone knows it.
WITH lately AS (
  SELECT
    stationcode,
    MAX_BY(last_reported_at, slot_start) AS reported_at,
    MAX(last_fetched_at) AS shown_at,
    SUM(observations) AS observations
  FROM lake.velib_station_hours
  WHERE slot_start >= TIMESTAMP_SUB(@run_time, INTERVAL 28 DAY)
  GROUP BY stationcode
),
fetched AS (
  SELECT MAX(shown_at) AS fetched_at
  FROM lately
)
SELECT
  l.stationcode,
  h.name,
  COALESCE(h.neighbourhood, 'not known') AS neighbourhood,
  COALESCE(n.state, 'gone') AS state,
  l.reported_at,
  TIMESTAMP_DIFF(f.fetched_at, l.reported_at, SECOND) / 86400 AS days_without_report,
  l.shown_at,
  n.stationcode IS NULL AS is_gone,
  l.observations AS sample_size
FROM lately AS l
CROSS JOIN fetched AS f
LEFT JOIN velib_stations_now AS n ON n.stationcode = l.stationcode
LEFT JOIN velib_station_history AS h ON h.stationcode = l.stationcode AND h.is_current
WHERE n.stationcode IS NULL
  OR n.state IN ('closed', 'not shown', 'stale')
  OR n.report_age_minutes >= 1440
