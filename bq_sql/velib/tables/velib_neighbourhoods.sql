-- Grain: one row per neighbourhood. Key: neighbourhood. Electric bikes there are now, in stations
-- that are open and report; over the last 28 days what an open station had of them on average. A
-- station lies where its history says, now and then: GBFS, for one, tells no commune.
WITH current_state AS (
  SELECT
    neighbourhood,
    COUNT(*) AS stations,
    COUNTIF(state IN ('in use', 'empty', 'full', 'unusable')) AS reporting_stations,
    SUM(IF(state IN ('in use', 'empty', 'full', 'unusable'), ebikes, 0)) AS ebikes,
    SUM(IF(state IN ('in use', 'empty', 'full', 'unusable'), mechanical, 0)) AS mechanical,
    COUNTIF(state IN ('in use', 'empty', 'full', 'unusable') AND ebikes > 0) AS stations_with_ebikes
  FROM velib_stations_now
  GROUP BY neighbourhood
),
lately AS (
  SELECT
    COALESCE(s.neighbourhood, 'not known') AS neighbourhood,
    SUM(h.ebike_ms) AS ebike_ms,
    SUM(h.open_ms) AS open_ms,
    SUM(h.observations) AS observations
  FROM lake.velib_station_hours AS h
  LEFT JOIN velib_station_history AS s ON s.stationcode = h.stationcode AND s.is_current
  WHERE h.slot_start >= TIMESTAMP_SUB(@run_time, INTERVAL 28 DAY)
  GROUP BY COALESCE(s.neighbourhood, 'not known')
)
SELECT
  COALESCE(c.neighbourhood, l.neighbourhood) AS neighbourhood,
  RANK() OVER (ORDER BY COALESCE(c.ebikes, 0) DESC) AS rank,
  COALESCE(c.ebikes, 0) AS ebikes,
  COALESCE(c.mechanical, 0) AS mechanical,
  COALESCE(c.stations, 0) AS stations,
  COALESCE(c.reporting_stations, 0) AS reporting_stations,
  COALESCE(c.stations_with_ebikes, 0) AS stations_with_ebikes,
  SAFE_DIVIDE(c.ebikes, c.reporting_stations) AS ebikes_per_station,
  SAFE_DIVIDE(l.ebike_ms, l.open_ms) AS ebikes_per_station_28_days,
  COALESCE(l.open_ms, 0) / 3600000 AS open_station_hours_28_days,
  COALESCE(l.observations, 0) AS sample_size
FROM current_state AS c
FULL JOIN lately AS l ON l.neighbourhood = c.neighbourhood
