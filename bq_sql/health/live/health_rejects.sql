-- Grain: one row per data set and reason. Key: dataset, reason.
-- What splits of the last 30 days rejected, each run as its newest split tells it, and what the
-- loaded slots count. Reasons are the keys of JSON objects: keys and counts are taken pair by pair.
-- JSON_QUERY writes both sides' JSON the same way, U+2028 and U+2029 escaped, so equal keys join.
WITH told AS (
  SELECT
    dataset,
    run,
    `at`,
    detail
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 30 DAY) AND @now
    AND step = 'split'
    AND outcome IN ('accepted', 'refused')
    AND detail IS NOT NULL
    AND dataset IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY dataset, run ORDER BY `at` DESC, event_id) = 1
),
texts AS (
  SELECT
    dataset,
    run,
    `at`,
    JSON_QUERY(detail, '$.rejected') AS counted,
    JSON_QUERY(detail, '$.samples') AS shown,
    JSON_VALUE(detail, '$.quarantine') AS quarantine
  FROM told
),
counts AS (
  SELECT
    t.dataset,
    t.run,
    t.at,
    t.quarantine,
    key,
    CAST(
      REGEXP_EXTRACT_ALL(t.counted, r'"(?:[^"\\]|\\.)*":\s*(\d+)')[OFFSET(place)] AS INT64
    ) AS lines
  FROM texts AS t
  CROSS JOIN UNNEST(REGEXP_EXTRACT_ALL(t.counted, r'"((?:[^"\\]|\\.)*)":\s*\d+')) AS key
    WITH OFFSET AS place
),
samples AS (
  SELECT
    t.dataset,
    t.run,
    key,
    REGEXP_EXTRACT_ALL(
      t.shown, r'"(?:[^"\\]|\\.)*":\s*"((?:[^"\\]|\\.)*)"'
    )[OFFSET(place)] AS sample
  FROM texts AS t
  CROSS JOIN UNNEST(
    REGEXP_EXTRACT_ALL(t.shown, r'"((?:[^"\\]|\\.)*)":\s*"(?:[^"\\]|\\.)*"')
  ) AS key WITH OFFSET AS place
),
split AS (
  SELECT
    c.dataset,
    c.key,
    SUM(c.lines) AS rejected,
    COUNT(DISTINCT c.run) AS runs,
    MAX(c.run) AS last_run,
    MAX_BY(c.lines, c.run) AS last_rejected,
    MAX_BY(s.sample, c.run) AS sample,
    MAX_BY(c.quarantine, c.run) AS quarantine,
    MAX(c.at) AS last_seen
  FROM counts AS c
  LEFT JOIN samples AS s ON s.dataset = c.dataset AND s.run = c.run AND s.key = c.key
  GROUP BY c.dataset, c.key
),
slots AS (
  SELECT
    dataset,
    JSON_QUERY(rejects, '$') AS rejects,
    origin
  FROM ops.loads
  WHERE slot_start >= CAST(DATE_SUB(DATE(@now), INTERVAL 730 DAY) AS STRING)
    AND rejected > 0
),
loaded AS (
  SELECT
    l.dataset,
    key,
    SUM(CAST(
      REGEXP_EXTRACT_ALL(l.rejects, r'"(?:[^"\\]|\\.)*":\s*(\d+)')[OFFSET(place)] AS INT64
    )) AS in_slots
  FROM slots AS l
  CROSS JOIN UNNEST(REGEXP_EXTRACT_ALL(l.rejects, r'"((?:[^"\\]|\\.)*)":\s*\d+')) AS key
    WITH OFFSET AS place
  GROUP BY l.dataset, key
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
  FROM told
)
SELECT
  COALESCE(s.dataset, l.dataset) AS dataset,
  JSON_VALUE(CONCAT('["', COALESCE(s.key, l.key), '"]'), '$[0]') AS reason,
  COALESCE(s.rejected, 0) AS rejected,
  COALESCE(l.in_slots, 0) AS in_slots,
  COALESCE(s.runs, 0) AS runs,
  s.last_run,
  s.last_rejected,
  JSON_VALUE(CONCAT('["', s.sample, '"]'), '$[0]') AS sample,
  s.quarantine,
  s.last_seen,
  COALESCE(s.runs, 0) AS sample_size,
  r.data_as_of,
  o.origin
FROM split AS s
FULL JOIN loaded AS l ON l.dataset = s.dataset AND l.key = s.key
LEFT JOIN origins AS o ON o.dataset = COALESCE(s.dataset, l.dataset)
CROSS JOIN reach AS r
