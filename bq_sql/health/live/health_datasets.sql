-- Grain: one row per data set that the ledger or the events of the last 60 days name. Key: dataset.
-- A run is good that was taken or came with nothing new, unless what split said of it last is that it
-- is refused; where no download is told of, as of a stream, it is good once it was split. An event's
-- time is that of its message, so a fetch that came late is told at its tick.
WITH told AS (
  SELECT
    event_id,
    dataset,
    run,
    step,
    outcome,
    severity,
    outcome = 'refused' AND severity = 'ERROR' AND step IN ('download', 'split') AS is_refusal,
    ANY_VALUE(system) AS system,
    MIN(`at`) AS `at`
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 60 DAY) AND @now
    AND dataset IS NOT NULL
  GROUP BY event_id, dataset, run, step, outcome, severity
),
runs AS (
  SELECT
    dataset,
    run,
    MAX(system) AS system,
    MAX(IF(step = 'download' AND outcome IN ('accepted', 'unchanged'), `at`, NULL)) AS fetched,
    MAX(IF(step = 'split' AND outcome = 'accepted', `at`, NULL)) AS split,
    MAX(IF(step = 'split' AND outcome = 'refused', `at`, NULL)) AS split_refused,
    MAX(IF(is_refusal, `at`, NULL)) AS refused,
    COUNTIF(is_refusal) AS refusals,
    COUNT(*) AS events
  FROM told
  GROUP BY dataset, run
),
judged AS (
  SELECT
    dataset,
    system,
    -- A run that was refused and released later is good from its release on.
    IF(
      split_refused IS NOT NULL AND (split IS NULL OR split_refused > split),
      NULL,
      COALESCE(fetched, split)
    ) AS good_fetch,
    IF(split > split_refused, NULL, refused) AS refused,
    refusals,
    events
  FROM runs
),
fetched AS (
  SELECT
    dataset,
    MAX(system) AS system,
    MAX(good_fetch) AS last_good_fetch,
    MAX(refused) AS last_refusal,
    SUM(refusals) AS refusals,
    SUM(events) AS events
  FROM judged
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
  -- The sweep says it every ten minutes for as long as it is so. Where nothing was told after it, that
  -- it is silent means nothing.
  HAVING TIMESTAMP_ADD(MAX(t.at), INTERVAL 30 MINUTE) >= (SELECT MAX(`at`) FROM told)
),
loaded AS (
  SELECT
    dataset,
    MAX(system) AS system,
    MAX(LEAST(newest, PARSE_TIMESTAMP('%Y%m%dT%H%M%SZ', SUBSTR(run, 1, 16)))) AS newest_event,
    MAX(loaded_at) AS last_load,
    COUNT(*) AS slots,
    MAX(origin) AS origin
  FROM ops.loads
  GROUP BY dataset
),
reach AS (
  SELECT MAX(`at`) AS data_as_of
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
