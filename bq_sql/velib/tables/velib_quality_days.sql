-- Grain: one row per UTC day that a report is loaded for. Key: day. What is odd is counted, not dropped.
SELECT
  DATE(slot_start) AS day,
  SUM(stale_observations) AS stale,
  SUM(ahead_observations) AS ahead,
  SUM(closed_observations) AS closed,
  SUM(no_capacity_observations) AS without_capacity,
  SUM(counts_disagree_observations) AS counts_disagree,
  SUM(kinds_disagree_observations) AS kinds_disagree,
  SUM(bikes_seen) AS bikes_published,
  SUM(kinds_seen) AS bikes_by_kind,
  SUM(kinds_seen) - SUM(bikes_seen) AS kinds_difference,
  SAFE_DIVIDE(SUM(stale_observations), SUM(observations)) * 100 AS stale_percent,
  SUM(observations) AS sample_size
FROM lake.velib_area_hours
WHERE slot_start >= TIMESTAMP '2015-01-01'
GROUP BY day
