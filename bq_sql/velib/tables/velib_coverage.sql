-- Grain: one row per hour from the first that is loaded to the last. Key: hour.
-- A fetch that did not take place is a gap and stays one: nothing is interpolated. Fetches are the
-- runs whose rows are loaded, by the ledger; there are six ticks in an hour. No clock is asked: an
-- outage that lasts shows once an hour after it is loaded.
WITH loaded AS (
  SELECT
    PARSE_TIMESTAMP('%Y-%m-%dT%H', slot) AS hour,
    COALESCE(runs, 0) AS fetches,
    rows_in,
    rows_out,
    rejected,
    duplicates,
    revised
  FROM ledger
  WHERE dataset = 'velib_stations'
),
calendar AS (
  SELECT hour
  FROM (
    SELECT
      MIN(hour) AS first_hour,
      MAX(hour) AS last_hour
    FROM loaded
    WHERE rows_out > 0
  ) AS b
  CROSS JOIN UNNEST(GENERATE_TIMESTAMP_ARRAY(b.first_hour, b.last_hour, INTERVAL 1 HOUR)) AS hour
),
covered AS (
  SELECT
    slot_start AS hour,
    SUM(stations) AS stations,
    SUM(observations) AS observations,
    SUM(covered_ms) AS covered_ms
  FROM lake.velib_area_hours
  WHERE slot_start >= TIMESTAMP '2015-01-01'
  GROUP BY slot_start
)
SELECT
  c.hour,
  DATE(c.hour, 'Europe/Paris') AS day,
  CASE
    WHEN COALESCE(l.rows_out, 0) = 0 THEN 'missing'
    WHEN COALESCE(l.fetches, 0) < 6 THEN 'partial'
    ELSE 'complete'
  END AS state,
  COALESCE(l.fetches, 0) AS fetches,
  GREATEST(6 - COALESCE(l.fetches, 0), 0) AS missed_fetches,
  COALESCE(v.stations, 0) AS stations,
  COALESCE(v.covered_ms, 0) / 3600000 AS covered_station_hours,
  SAFE_DIVIDE(v.covered_ms, v.stations * 3600000) * 100 AS covered_percent,
  COALESCE(l.rows_in, 0) AS rows_in,
  COALESCE(l.rejected, 0) AS rejected,
  COALESCE(l.duplicates, 0) AS duplicates,
  COALESCE(l.revised, 0) AS revised,
  COALESCE(l.rows_out, 0) AS observations_loaded,
  COALESCE(v.observations, 0) AS sample_size
FROM calendar AS c
LEFT JOIN loaded AS l ON l.hour = c.hour
LEFT JOIN covered AS v ON v.hour = c.hour
