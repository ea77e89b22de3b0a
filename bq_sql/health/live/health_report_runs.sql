-- Grain: one row per system and run of its scheduled query that had something to do, of the last 60
-- days. Key: system, run_time.
WITH origins AS (
  SELECT
    system,
    MAX(origin) AS origin
  FROM ops.loads
  GROUP BY system
),
reach AS (
  SELECT MAX(`at`) AS data_as_of
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 60 DAY) AND @now
)
SELECT
  n.system,
  n.run_time,
  DATE(n.run_time) AS day,
  n.outcome,
  n.checks,
  n.data_as_of AS reaches,
  n.error,
  n.script,
  1 AS sample_size,
  r.data_as_of,
  o.origin
FROM ops.report_runs AS n
LEFT JOIN origins AS o ON o.system = n.system
CROSS JOIN reach AS r
WHERE n.run_time BETWEEN TIMESTAMP_SUB(@now, INTERVAL 60 DAY) AND @now
