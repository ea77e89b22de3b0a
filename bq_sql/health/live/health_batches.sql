-- Grain: one row per Spark batch that the sweep told of in the last 60 days. Key: batch.
-- A state has one event id however often it is told; the newest state stands. The prices are those of
-- cost/prices.toml (a test compares them): a list price of one region, no bill.
WITH told AS (
  SELECT
    object AS batch,
    system,
    outcome AS state,
    `at`,
    seconds,
    detail
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 60 DAY) AND @now
    AND step = 'batch'
    AND object IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY `at`) = 1
),
newest AS (
  SELECT
    batch,
    system,
    state,
    `at`,
    seconds,
    CAST(JSON_VALUE(detail, '$.milli_dcu_seconds') AS INT64) / 1000 AS dcu_seconds,
    CAST(JSON_VALUE(detail, '$.shuffle_storage_gb_seconds') AS INT64) AS shuffle_gb_seconds,
    NULLIF(JSON_VALUE(detail, '$.message'), '') AS message,
    COUNT(*) OVER (PARTITION BY batch) AS states
  FROM told
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY batch
    ORDER BY IF(state IN ('succeeded', 'failed', 'cancelled'), 1, 0) DESC, `at` DESC
  ) = 1
),
origins AS (
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
  n.batch,
  n.system,
  DATE(n.at) AS day,
  n.at AS told_at,
  n.state,
  n.seconds,
  n.dcu_seconds / 3600 AS dcu_hours,
  n.shuffle_gb_seconds / 3600 AS shuffle_gb_hours,
  n.dcu_seconds * 0.06 / 3600
    + COALESCE(n.shuffle_gb_seconds, 0) * 0.04 / 2592000 AS cost_usd,
  n.message,
  n.states AS sample_size,
  r.data_as_of,
  o.origin
FROM newest AS n
LEFT JOIN origins AS o ON o.system = n.system
CROSS JOIN reach AS r
