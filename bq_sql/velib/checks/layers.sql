-- The layers reconcile: the rows that the ledger says were loaded are those of every report.
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_coverage
  WHERE observations_loaded != sample_size
) AS 'velib_coverage: an hour has not the same observations in ledger and parts';
ASSERT (
  SELECT MIN(COALESCE(observations, 0)) = MAX(COALESCE(observations, 0))
  FROM (
    SELECT SUM(rows_out) AS observations
    FROM ledger
    WHERE dataset = 'velib_stations'
    UNION ALL
    SELECT SUM(sample_size) FROM velib_coverage
    UNION ALL
    SELECT SUM(sample_size) FROM velib_network_days
    UNION ALL
    SELECT SUM(sample_size) FROM velib_kind_days WHERE kind = 'electric'
    UNION ALL
    SELECT SUM(sample_size) FROM velib_quality_days
  ) AS l
) AS 'the sum of observations is not the rows loaded in every report over all time';
ASSERT (
  SELECT MIN(COALESCE(observations, 0)) = MAX(COALESCE(observations, 0))
  FROM (
    SELECT SUM(observations) AS observations FROM velib_station_failures
    UNION ALL
    SELECT SUM(sample_size) FROM velib_hours_of_day
    UNION ALL
    SELECT SUM(sample_size) FROM velib_neighbourhoods
  ) AS l
) AS 'stations, hours of the day and neighbourhoods differ in the observations of 28 days';
ASSERT (
  SELECT COALESCE(
    MAX(open_hours) - MIN(open_hours) <= 1e-6 * MAX(open_hours)
    AND MIN(departures) = MAX(departures), TRUE
  )
  FROM (
    SELECT SUM(open_hours) AS open_hours, SUM(departures) AS departures FROM velib_station_failures
    UNION ALL
    SELECT SUM(open_station_hours), SUM(departures) FROM velib_hours_of_day
  ) AS l
) AS 'stations and hours of the day differ in open time or departures';
