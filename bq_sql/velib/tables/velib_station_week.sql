-- Grain: one row per station, type of day and hour in Paris, over the last 28 days.
-- Key: stationcode, day_type, hour. Shares are of open time, as in velib_station_failures.
WITH typed AS (
  SELECT
    CASE EXTRACT(DAYOFWEEK FROM local_day)
      WHEN 1 THEN 'Sunday'
      WHEN 7 THEN 'Saturday'
      ELSE 'Monday to Friday'
    END AS day_type,
    *
  FROM lake.velib_station_hours
  WHERE slot_start >= TIMESTAMP_SUB(@run_time, INTERVAL 28 DAY)
)
SELECT
  stationcode,
  day_type,
  local_hour AS hour,
  COUNT(*) AS hours,
  SUM(open_ms) / 3600000 AS open_hours,
  SAFE_DIVIDE(SUM(bike_ms), SUM(open_ms)) AS bikes,
  SAFE_DIVIDE(SUM(mechanical_ms), SUM(open_ms)) AS mechanical,
  SAFE_DIVIDE(SUM(ebike_ms), SUM(open_ms)) AS ebikes,
  SAFE_DIVIDE(SUM(dock_ms), SUM(open_ms)) AS docks,
  SAFE_DIVIDE(SUM(empty_ms), SUM(open_ms)) * 100 AS empty_percent,
  SAFE_DIVIDE(SUM(full_ms), SUM(open_ms)) * 100 AS full_percent,
  SUM(observations) AS sample_size
FROM typed
GROUP BY stationcode, day_type, local_hour
