-- Grain: one row per station and period in which it was published as the same (SCD2).
-- Key: stationcode, valid_from. Only a fact that is published otherwise ends a period: a station that
-- a fetch does not show, or a source that lacks a column, changes nothing. Where a source told an area,
-- one that tells none says nothing of the neighbourhood: the code's prefix is not asked against it.
WITH told AS (
  SELECT
    stationcode,
    slot_start,
    seen_at,
    LAST_VALUE(name IGNORE NULLS) OVER of_station AS name,
    COALESCE(
      LAST_VALUE(IF(area_is_told IS NOT FALSE, NULLIF(neighbourhood, 'not known'), NULL) IGNORE NULLS) OVER of_station,
      LAST_VALUE(NULLIF(neighbourhood, 'not known') IGNORE NULLS) OVER of_station
    ) AS neighbourhood,
    LAST_VALUE(capacity IGNORE NULLS) OVER of_station AS capacity,
    LAST_VALUE(lat IGNORE NULLS) OVER of_station AS lat,
    LAST_VALUE(lon IGNORE NULLS) OVER of_station AS lon
  FROM lake.velib_station_changes
  WHERE slot_start >= TIMESTAMP '2015-01-01'
  WINDOW of_station AS (
    PARTITION BY stationcode ORDER BY slot_start ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  )
),
changes_with_facts AS (
  SELECT
    *,
    TO_JSON_STRING(STRUCT(name, neighbourhood, capacity, lat, lon)) AS facts
  FROM told
),
stepped AS (
  SELECT
    *,
    LAG(facts) OVER (PARTITION BY stationcode ORDER BY slot_start) AS facts_before
  FROM changes_with_facts
),
numbered AS (
  SELECT
    *,
    COUNTIF(facts_before IS NULL OR facts != facts_before)
      OVER (PARTITION BY stationcode ORDER BY slot_start) AS period
  FROM stepped
),
periods AS (
  SELECT
    stationcode,
    period,
    MIN(seen_at) AS valid_from,
    ANY_VALUE(name) AS name,
    ANY_VALUE(neighbourhood) AS neighbourhood,
    ANY_VALUE(capacity) AS capacity,
    ANY_VALUE(lat) AS lat,
    ANY_VALUE(lon) AS lon,
    COUNT(*) AS changes
  FROM numbered
  GROUP BY stationcode, period
)
SELECT
  stationcode,
  valid_from,
  LEAD(valid_from) OVER (PARTITION BY stationcode ORDER BY period) AS valid_to,
  LEAD(valid_from) OVER (PARTITION BY stationcode ORDER BY period) IS NULL AS is_current,
  DATE(valid_from, 'Europe/Paris') AS valid_from_day,
  name,
  COALESCE(neighbourhood, 'not known') AS neighbourhood,
  capacity,
  lat,
  lon,
  changes AS sample_size
FROM periods
