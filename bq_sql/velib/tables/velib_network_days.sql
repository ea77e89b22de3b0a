-- Grain: one row per day in Paris that a report is loaded for. Key: day.
-- A day in Paris has 23, 24 or 25 hours: it is part of one while fewer are loaded.
-- Bikes in the network: what an open station had on average × open stations, an average hour's.
WITH by_hour AS (
  SELECT
    local_day,
    slot_start,
    SUM(stations) AS stations,
    SUM(open_stations) AS open_stations,
    SUM(covered_ms) AS covered_ms,
    SUM(open_ms) AS open_ms,
    SUM(bike_ms) AS bike_ms,
    SUM(mechanical_ms) AS mechanical_ms,
    SUM(ebike_ms) AS ebike_ms,
    SUM(dock_ms) AS dock_ms,
    SUM(empty_ms) AS empty_ms,
    SUM(full_ms) AS full_ms,
    SUM(unusable_ms) AS unusable_ms,
    SUM(departures) AS departures,
    SUM(arrivals) AS arrivals,
    SUM(observations) AS observations
  FROM lake.velib_area_hours
  WHERE slot_start >= TIMESTAMP '2015-01-01'
  GROUP BY local_day, slot_start
)
SELECT
  local_day AS day,
  COUNT(*) AS hours,
  COUNT(*) < TIMESTAMP_DIFF(
    TIMESTAMP(DATE_ADD(local_day, INTERVAL 1 DAY), 'Europe/Paris'),
    TIMESTAMP(local_day, 'Europe/Paris'),
    HOUR
  ) AS is_partial_day,
  SUM(stations) AS station_hours,
  SUM(open_stations) AS open_stations_hours,
  SUM(covered_ms) / 3600000 AS covered_station_hours,
  SUM(open_ms) / 3600000 AS open_station_hours,
  SUM(bike_ms) / 3600000 AS bike_hours,
  SUM(mechanical_ms) / 3600000 AS mechanical_hours,
  SUM(ebike_ms) / 3600000 AS ebike_hours,
  SUM(dock_ms) / 3600000 AS dock_hours,
  SAFE_DIVIDE(SUM(bike_ms), SUM(open_ms)) AS bikes_per_station,
  SAFE_DIVIDE(SUM(bike_ms), SUM(open_ms)) * SUM(open_stations) / COUNT(*) AS bikes,
  SAFE_DIVIDE(SUM(bike_ms), SUM(bike_ms) + SUM(dock_ms)) * 100 AS fill_percent,
  SAFE_DIVIDE(SUM(empty_ms), SUM(open_ms)) * 100 AS empty_percent,
  SAFE_DIVIDE(SUM(full_ms), SUM(open_ms)) * 100 AS full_percent,
  SAFE_DIVIDE(SUM(unusable_ms), SUM(open_ms)) * 100 AS unusable_percent,
  SUM(departures) AS departures,
  SUM(arrivals) AS arrivals,
  SUM(observations) AS sample_size
FROM by_hour
GROUP BY local_day
