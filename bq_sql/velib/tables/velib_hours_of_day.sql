-- Grain: one row per type of day and hour in Paris, over the last 28 days. Key: day_type, hour.
WITH typed AS (
  SELECT
    CASE EXTRACT(DAYOFWEEK FROM local_day)
      WHEN 1 THEN 'Sunday'
      WHEN 7 THEN 'Saturday'
      ELSE 'Monday to Friday'
    END AS day_type,
    *
  FROM lake.velib_area_hours
  WHERE slot_start >= TIMESTAMP_SUB(@run_time, INTERVAL 28 DAY)
)
SELECT
  day_type,
  local_hour AS hour,
  COUNT(DISTINCT slot_start) AS hours,
  SUM(open_ms) / 3600000 AS open_station_hours,
  SAFE_DIVIDE(SUM(bike_ms), SUM(open_ms)) AS bikes_per_station,
  SAFE_DIVIDE(SUM(mechanical_ms), SUM(open_ms)) AS mechanical_per_station,
  SAFE_DIVIDE(SUM(ebike_ms), SUM(open_ms)) AS ebikes_per_station,
  SAFE_DIVIDE(SUM(dock_ms), SUM(open_ms)) AS docks_per_station,
  SAFE_DIVIDE(SUM(empty_ms), SUM(open_ms)) * 100 AS empty_percent,
  SAFE_DIVIDE(SUM(full_ms), SUM(open_ms)) * 100 AS full_percent,
  SUM(departures) AS departures,
  SUM(arrivals) AS arrivals,
  SUM(departures) / COUNT(DISTINCT slot_start) AS departures_per_hour,
  SUM(observations) AS sample_size
FROM typed
GROUP BY day_type, local_hour
