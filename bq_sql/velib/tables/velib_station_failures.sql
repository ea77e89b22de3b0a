-- Grain: one row per station, over the last 28 days. Key: stationcode. Shares are of the time in which
-- it was open and its report held. Empty: no bike and a free dock; full: no free dock and a bike;
-- unusable: neither. Ranked are stations with at least 24 open hours.
WITH summed AS (
  SELECT
    stationcode,
    MAX_BY(neighbourhood, slot_start) AS neighbourhood,
    COUNT(*) AS hours,
    SUM(covered_ms) AS covered_ms,
    SUM(open_ms) AS open_ms,
    SUM(empty_ms) AS empty_ms,
    SUM(full_ms) AS full_ms,
    SUM(unusable_ms) AS unusable_ms,
    SUM(bike_ms) AS bike_ms,
    SUM(dock_ms) AS dock_ms,
    SUM(departures) AS departures,
    SUM(arrivals) AS arrivals,
    MIN(bikes_min) AS bikes_min,
    MAX(bikes_max) AS bikes_max,
    SUM(observations) AS observations
  FROM lake.velib_station_hours
  WHERE slot_start >= TIMESTAMP_SUB(@run_time, INTERVAL 28 DAY)
  GROUP BY stationcode
)
SELECT
  s.stationcode,
  h.name,
  CONCAT(COALESCE(h.name, 'no name'), ' (', s.stationcode, ')') AS station,
  COALESCE(h.neighbourhood, s.neighbourhood) AS neighbourhood,
  IF(
    s.open_ms >= 24 * 3600000,
    RANK() OVER (
      ORDER BY
        s.open_ms >= 24 * 3600000 DESC,
        SAFE_DIVIDE(s.empty_ms + s.full_ms + s.unusable_ms, s.open_ms) DESC
    ),
    NULL
  ) AS rank,
  s.covered_ms / 3600000 AS covered_hours,
  s.open_ms / 3600000 AS open_hours,
  s.empty_ms / 3600000 AS empty_hours,
  s.full_ms / 3600000 AS full_hours,
  s.unusable_ms / 3600000 AS unusable_hours,
  SAFE_DIVIDE(s.empty_ms, s.open_ms) * 100 AS empty_percent,
  SAFE_DIVIDE(s.full_ms, s.open_ms) * 100 AS full_percent,
  SAFE_DIVIDE(s.empty_ms + s.full_ms + s.unusable_ms, s.open_ms) * 100 AS failing_percent,
  SAFE_DIVIDE(s.bike_ms, s.open_ms) AS bikes,
  SAFE_DIVIDE(s.bike_ms, s.bike_ms + s.dock_ms) * 100 AS fill_percent,
  s.bikes_min,
  s.bikes_max,
  s.departures,
  s.arrivals,
  s.observations,
  s.hours AS sample_size
FROM summed AS s
LEFT JOIN velib_station_history AS h ON h.stationcode = s.stationcode AND h.is_current
