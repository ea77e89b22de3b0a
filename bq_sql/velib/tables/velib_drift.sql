-- Grain: one row per column name that a file had. Key: column_name. When each came and went, from what
-- the splits of 400 days told of the files' headers. A name that the contract did not know was kept out then.
WITH splits AS (
  SELECT
    run,
    PARSE_TIMESTAMP('%Y%m%dT%H%M%SZ', SUBSTR(run, 1, 16)) AS fetched_at,
    file
  FROM ops.events
  CROSS JOIN UNNEST(JSON_QUERY_ARRAY(detail, '$.files')) AS file
  WHERE `at` >= TIMESTAMP_SUB(@run_time, INTERVAL 400 DAY)
    AND step = 'split'
    AND outcome IN ('accepted', 'refused')
    AND dataset = 'velib_stations'
),
named AS (
  SELECT
    run,
    fetched_at,
    column_name,
    STRPOS(
      COALESCE(JSON_QUERY(file, '$.unknown'), ''), CONCAT(TO_JSON_STRING(column_name), ':')
    ) > 0 AS is_unknown
  FROM splits
  CROSS JOIN UNNEST(JSON_VALUE_ARRAY(file, '$.header')) AS column_name
),
newest AS (
  SELECT MAX(fetched_at) AS fetched_at
  FROM named
)
SELECT
  n.column_name,
  MIN(n.fetched_at) AS first_fetched_at,
  MAX(n.fetched_at) AS last_fetched_at,
  MAX(n.fetched_at) = ANY_VALUE(w.fetched_at) AS is_in_newest,
  COUNT(DISTINCT n.run) AS fetches,
  COUNT(DISTINCT IF(n.is_unknown, n.run, NULL)) AS fetches_unknown,
  COUNT(*) AS sample_size
FROM named AS n
CROSS JOIN newest AS w
GROUP BY n.column_name
