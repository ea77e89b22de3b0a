-- Grain: one row per data set that the ledger or the events of the last 60 days name. Key: dataset.
-- A run is good that was taken or came with nothing new, and that split did not refuse; a
-- stream has no download: its last good fetch is the newest file that was split.
WITH told AS (
  SELECT
    event_id,
    dataset,
    run,
    step,
    outcome,
    severity,
    ANY_VALUE(system) AS system,
    MIN(at) AS at
  FROM ops.events
  WHERE at BETWEEN TIMESTAMP_SUB(@now, INTERVAL 60 DAY) AND @now
    AND dataset IS NOT NULL
  GROUP BY event_id, dataset, run, step, outcome, severity
),
runs AS (
  SELECT
    dataset,
    MAX(system) AS system,
    IF(
      LOGICAL_OR(step = 'split' AND outcome = 'refused'),
      NULL,
      MAX(IF(step = 'download' AND outcome IN ('accepted', 'unchanged'), at, NULL))
    ) AS fetched,
    MAX(IF(step = 'split' AND outcome = 'accepted', at, NULL)) AS split,
    MAX(IF(outcome = 'refused' AND severity = 'ERROR', at, NULL)) AS refused,
    COUNTIF(outcome = 'refused' AND severity = 'ERROR') AS refusals,
    COUNT(*) AS events
  FROM told
  GROUP BY dataset, run
),
fetched AS (
  SELECT
    dataset,
    MAX(system) AS system,
    COALESCE(MAX(fetched), MAX(split)) AS last_good_fetch,
    MAX(refused) AS last_refusal,
    SUM(refusals) AS refusals,
    SUM(events) AS events
  FROM runs
  GROUP BY dataset
),
overdue AS (
  SELECT
    t.dataset,
    MIN(t.at) AS overdue_since
  FROM told AS t
  JOIN fetched AS f ON f.dataset = t.dataset
  WHERE t.step = 'sweep'
    AND t.outcome = 'overdue'
    AND (f.last_good_fetch IS NULL OR t.at > f.last_good_fetch)
  GROUP BY t.dataset
),
loaded AS (
  SELECT
    dataset,
    MAX(system) AS system,
    MAX(newest) AS newest_event,
    MAX(loaded_at) AS last_load,
    COUNT(*) AS slots,
    MAX(origin) AS origin
  FROM ops.loads
  GROUP BY dataset
),
reach AS (
  SELECT MAX(at) AS data_as_of
  FROM told
)
SELECT
  COALESCE(l.dataset, f.dataset) AS dataset,
  COALESCE(l.system, f.system) AS system,
  CASE
    WHEN o.overdue_since IS NOT NULL THEN 'overdue'
    WHEN f.last_good_fetch IS NULL THEN 'not fetched'
    WHEN f.last_refusal > f.last_good_fetch THEN 'refused'
    ELSE 'good'
  END AS state,
  f.last_good_fetch,
  TIMESTAMP_DIFF(@now, f.last_good_fetch, MINUTE) / 60 AS age_hours,
  o.overdue_since,
  f.last_refusal,
  COALESCE(f.refusals, 0) AS refusals,
  l.newest_event,
  l.last_load,
  COALESCE(l.slots, 0) AS slots,
  COALESCE(f.events, 0) AS sample_size,
  r.data_as_of,
  l.origin
FROM loaded AS l
FULL JOIN fetched AS f ON f.dataset = l.dataset
LEFT JOIN overdue AS o ON o.dataset = f.dataset
CROSS JOIN reach AS r
