-- Grain: one row per step, outcome, data set and slot that told an error or a warning in the last 14
-- days. Key: step, outcome, dataset, slot. What is told again and again is one row.
WITH told AS (
  SELECT
    event_id,
    `at`,
    step,
    outcome,
    severity,
    COALESCE(dataset, system, '') AS dataset,
    COALESCE(slot, '') AS slot,
    message
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 14 DAY) AND @now
    AND severity IN ('ERROR', 'WARNING')
  QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY `at`) = 1
),
origins AS (
  SELECT
    dataset,
    MAX(origin) AS origin
  FROM ops.loads
  GROUP BY dataset
),
reach AS (
  SELECT MAX(`at`) AS data_as_of
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 14 DAY) AND @now
)
SELECT
  t.step,
  t.outcome,
  t.dataset,
  t.slot,
  MIN(t.severity) AS severity,
  COUNT(*) AS times,
  MIN(t.at) AS first_seen,
  MAX(t.at) AS last_seen,
  MAX_BY(t.message, t.at) AS message,
  COUNT(*) AS sample_size,
  ANY_VALUE(r.data_as_of) AS data_as_of,
  MAX(o.origin) AS origin
FROM told AS t
LEFT JOIN origins AS o ON o.dataset = t.dataset
CROSS JOIN reach AS r
GROUP BY t.step, t.outcome, t.dataset, t.slot
