-- Grain: one row per station that has not reported for a day, is closed, or that no fetch shows any
-- more. Key: stationcode.
SELECT
  h.stationcode,
  h.name,
  h.neighbourhood,
  COALESCE(n.state, 'gone') AS state,
  n.reported_at,
  n.report_age_minutes / 1440 AS days_without_report,
  n.shown_at,
  n.stationcode IS NULL AS is_gone,
  COALESCE(n.sample_size, 0) AS sample_size
FROM velib_station_history AS h
LEFT JOIN velib_stations_now AS n ON n.stationcode = h.stationcode
WHERE h.is_current
  AND (n.stationcode IS NULL OR n.state IN ('closed', 'not shown', 'stale') OR n.report_age_minutes >= 1440)
