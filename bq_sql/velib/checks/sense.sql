-- What no source can make: time that counts twice, shares above 100, kinds that are not all bikes
-- without anyone having said so, periods of a station that overlap.
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_station_failures
  WHERE empty_hours + full_hours + unusable_hours > open_hours + 1e-6
    OR open_hours > covered_hours + 1e-6
    OR covered_hours > sample_size + 1e-6
    OR bikes_min > bikes_max
) AS 'velib_station_failures: a station has more time empty, full, open or covered than there is';
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_kind_days AS k
  JOIN velib_network_days AS d ON d.day = k.day
  GROUP BY k.day
  HAVING ABS(SUM(k.bike_hours) - MAX(d.bike_hours)) > 1e-6 * MAX(d.bike_hours) + 1e-9
) AS 'velib_kind_days: the kinds of a day are not all its bikes';
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_network_days
  WHERE hours > 25 OR (hours < 23 AND NOT is_partial_day) OR (hours = 25 AND is_partial_day)
) AS 'velib_network_days: a day has more hours than there are, or lacks some and is called whole';
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_kind_days AS k
  JOIN velib_network_days AS d ON d.day = k.day
  WHERE k.is_partial_day != d.is_partial_day
) AS 'velib_kind_days: a day is whole for one report and not for the other';
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_quality_days
  WHERE kinds_difference != 0 AND kinds_disagree = 0
) AS 'velib_quality_days: bikes by kind are not the bikes published, and no report is flagged';
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_quality_days
  WHERE GREATEST(stale, ahead, closed, without_capacity, counts_disagree, kinds_disagree) > sample_size
) AS 'velib_quality_days: more flags of a kind than observations';
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_station_history
  WHERE valid_to <= valid_from
) AS 'velib_station_history: a period is empty or overlaps the next';
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_station_history
  GROUP BY stationcode
  HAVING COUNTIF(is_current) != 1
) AS 'velib_station_history: a station has no current period, or two';
ASSERT NOT EXISTS (
  SELECT 1
  FROM velib_neighbourhoods
  WHERE reporting_stations > stations OR stations_with_ebikes > reporting_stations OR ebikes < 0
) AS 'velib_neighbourhoods: more stations report than there are, or bikes below zero';
ASSERT NOT EXISTS (
  SELECT 1
  FROM (SELECT stationcode, SUM(open_hours) AS open_hours FROM velib_station_week GROUP BY stationcode) AS w
  FULL JOIN velib_station_failures AS f ON f.stationcode = w.stationcode
  WHERE w.stationcode IS NULL OR f.stationcode IS NULL OR ABS(w.open_hours - f.open_hours) > 1e-6
) AS 'velib_station_week: the hours of a station are not all its open time';
