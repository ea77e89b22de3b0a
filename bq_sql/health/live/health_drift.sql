-- Grain: one row per data set, kind of drift and name. Key: dataset, kind, name.
-- How headers met their contracts in the splits of the last 60 days, each run as its newest split
-- tells it. Names are the keys of JSON objects: keys and values are taken pair by pair.
WITH told AS (
  SELECT
    dataset,
    run,
    `at`,
    detail
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 60 DAY) AND @now
    AND step = 'split'
    AND outcome IN ('accepted', 'refused')
    AND detail IS NOT NULL
    AND dataset IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY dataset, run ORDER BY `at` DESC, event_id) = 1
),
files AS (
  SELECT
    t.dataset,
    t.run,
    t.at,
    JSON_QUERY(file, '$.unknown') AS unknown,
    JSON_QUERY(file, '$.aliases') AS aliases,
    JSON_VALUE_ARRAY(file, '$.missing') AS missing
  FROM told AS t
  CROSS JOIN UNNEST(JSON_QUERY_ARRAY(t.detail, '$.files')) AS file
),
found AS (
  SELECT
    f.dataset,
    f.run,
    f.at,
    'unknown' AS kind,
    JSON_VALUE(CONCAT('["', key, '"]'), '$[0]') AS name,
    JSON_VALUE(CONCAT('["', REGEXP_EXTRACT_ALL(
      f.unknown, r'"(?:[^"\\]|\\.)*":\s*"((?:[^"\\]|\\.)*)"'
    )[OFFSET(place)], '"]'), '$[0]') AS sample
  FROM files AS f
  CROSS JOIN UNNEST(
    REGEXP_EXTRACT_ALL(f.unknown, r'"((?:[^"\\]|\\.)*)":\s*"(?:[^"\\]|\\.)*"')
  ) AS key WITH OFFSET AS place
  UNION ALL
  SELECT
    f.dataset,
    f.run,
    f.at,
    'alias' AS kind,
    JSON_VALUE(CONCAT('["', key, '"]'), '$[0]') AS name,
    JSON_VALUE(CONCAT('["', REGEXP_EXTRACT_ALL(
      f.aliases, r'"(?:[^"\\]|\\.)*":\s*"((?:[^"\\]|\\.)*)"'
    )[OFFSET(place)], '"]'), '$[0]') AS sample
  FROM files AS f
  CROSS JOIN UNNEST(
    REGEXP_EXTRACT_ALL(f.aliases, r'"((?:[^"\\]|\\.)*)":\s*"(?:[^"\\]|\\.)*"')
  ) AS key WITH OFFSET AS place
  UNION ALL
  SELECT
    f.dataset,
    f.run,
    f.at,
    'missing' AS kind,
    name,
    CAST(NULL AS STRING) AS sample
  FROM files AS f
  CROSS JOIN UNNEST(f.missing) AS name
),
origins AS (
  SELECT
    dataset,
    MAX(origin) AS origin
  FROM ops.loads
  GROUP BY dataset
),
looked AS (
  SELECT
    dataset,
    COUNT(*) AS runs
  FROM told
  GROUP BY dataset
),
reach AS (
  SELECT MAX(`at`) AS data_as_of
  FROM told
)
SELECT
  f.dataset,
  f.kind,
  f.name,
  MAX_BY(f.sample, f.at) AS sample,
  MIN(f.at) AS first_seen,
  MAX(f.at) AS last_seen,
  COUNT(DISTINCT f.run) AS runs,
  ANY_VALUE(k.runs) AS sample_size,
  ANY_VALUE(r.data_as_of) AS data_as_of,
  MAX(o.origin) AS origin
FROM found AS f
JOIN looked AS k ON k.dataset = f.dataset
LEFT JOIN origins AS o ON o.dataset = f.dataset
CROSS JOIN reach AS r
GROUP BY f.dataset, f.kind, f.name
