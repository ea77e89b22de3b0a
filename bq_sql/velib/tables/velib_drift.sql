-- Grain: one row per layout, column name and unbroken run of fetches that had it. Key: layout, column_name,
-- first_fetched_at. When each came and went, from what the splits of 400 days told of the files' headers. Fetches
-- are compared within a layout: a fetch of the other source takes no column away. A name that the contract did not
-- know was kept out then.
WITH splits AS (
  SELECT
    run,
    PARSE_TIMESTAMP('%Y%m%dT%H%M%SZ', SUBSTR(run, 1, 16)) AS fetched_at,
    COALESCE(NULLIF(JSON_VALUE(file, '$.shape'), ''), 'not told') AS layout,
    file
  FROM ops.events
  CROSS JOIN UNNEST(JSON_QUERY_ARRAY(detail, '$.files')) AS file
  WHERE `at` >= TIMESTAMP_SUB(@run_time, INTERVAL 400 DAY)
    AND step = 'split'
    AND outcome IN ('accepted', 'refused')
    AND dataset = 'velib_stations'
),
fetches AS (
  SELECT
    layout,
    fetched_at,
    ROW_NUMBER() OVER (PARTITION BY layout ORDER BY fetched_at) AS number,
    LEAD(fetched_at) OVER (PARTITION BY layout ORDER BY fetched_at) AS next_fetched_at,
    MAX(fetched_at) OVER (PARTITION BY layout) AS newest_fetched_at
  FROM splits
  WHERE ARRAY_LENGTH(JSON_VALUE_ARRAY(file, '$.header')) > 0
  GROUP BY layout, fetched_at
),
named AS (
  SELECT
    layout,
    fetched_at,
    column_name,
    LOGICAL_OR(
      STRPOS(
        COALESCE(JSON_QUERY(file, '$.unknown'), ''), CONCAT(TO_JSON_STRING(column_name), ':')
      ) > 0
    ) AS is_unknown,
    COUNT(*) AS events
  FROM splits
  CROSS JOIN UNNEST(JSON_VALUE_ARRAY(file, '$.header')) AS column_name
  GROUP BY layout, fetched_at, column_name
),
unbroken AS (
  SELECT
    n.*,
    f.next_fetched_at,
    f.newest_fetched_at,
    f.number - ROW_NUMBER() OVER (
      PARTITION BY n.layout, n.column_name ORDER BY n.fetched_at
    ) AS stretch
  FROM named AS n
  JOIN fetches AS f ON f.layout = n.layout AND f.fetched_at = n.fetched_at
)
SELECT
  layout,
  column_name,
  MIN(fetched_at) AS first_fetched_at,
  MAX(fetched_at) AS last_fetched_at,
  IF(MAX(fetched_at) = MAX(newest_fetched_at), NULL, MAX(next_fetched_at)) AS gone_at,
  MAX(fetched_at) = MAX(newest_fetched_at) AS is_in_newest,
  COUNT(*) AS fetches,
  COUNTIF(is_unknown) AS fetches_unknown,
  SUM(events) AS sample_size
FROM unbroken
GROUP BY layout, column_name, stretch
