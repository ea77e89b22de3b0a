-- Grain: one row per day in Paris and kind of bike. Key: day, kind.
SELECT
  d.day,
  k.kind,
  k.bike_hours,
  SAFE_DIVIDE(k.bike_hours, d.open_station_hours) AS bikes_per_station,
  SAFE_DIVIDE(k.bike_hours, d.bike_hours) * 100 AS share_percent,
  d.is_partial_day,
  d.sample_size
FROM velib_network_days AS d
CROSS JOIN UNNEST([
  STRUCT('mechanical' AS kind, d.mechanical_hours AS bike_hours),
  STRUCT('electric' AS kind, d.ebike_hours AS bike_hours)
]) AS k
