-- Grain: one row per data set and day (UTC; a month on its first day). Key: dataset, day.
-- Slots are numbered in their own unit, so that an end is the next number. What is usual between two
-- slots of a data set is the median of what was: a monthly list misses no day. Slots that ended
-- before the first load that events tell of were history when they came, and are not late.
WITH numbered AS (
  SELECT
    dataset,
    system,
    slot,
    CASE LENGTH(slot) WHEN 7 THEN 'month' WHEN 10 THEN 'day' ELSE 'hour' END AS unit,
    CASE LENGTH(slot)
      WHEN 7 THEN CAST(SUBSTR(slot, 1, 4) AS INT64) * 12 + CAST(SUBSTR(slot, 6, 2) AS INT64) - 1
      WHEN 10 THEN UNIX_DATE(CAST(slot AS DATE))
      ELSE UNIX_DATE(CAST(SUBSTR(slot, 1, 10) AS DATE)) * 24 + CAST(SUBSTR(slot, 12, 2) AS INT64)
    END AS number,
    rows_out,
    origin
  FROM ops.loads
  WHERE slot_start >= CAST(DATE_SUB(DATE(@now), INTERVAL 730 DAY) AS STRING)
),
ordered AS (
  SELECT
    dataset,
    number,
    number - LAG(number) OVER (PARTITION BY dataset ORDER BY number) AS step,
    LEAD(number) OVER (PARTITION BY dataset ORDER BY number) AS next_number
  FROM numbered
),
told AS (
  SELECT
    dataset,
    slot,
    step,
    outcome,
    `at`
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 92 DAY) AND @now
    AND dataset IS NOT NULL
),
loads AS (
  SELECT
    dataset,
    slot,
    MIN(IF(step = 'load', `at`, NULL)) AS first_load,
    MAX(`at`) AS last_load
  FROM told
  WHERE (step = 'load' AND outcome = 'loaded')
    -- What is found to be loaded already is held no more.
    OR (step = 'seal' AND outcome IN ('unchanged', 'current'))
  GROUP BY dataset, slot
),
holds AS (
  SELECT
    dataset,
    slot,
    MAX(`at`) AS last_hold
  FROM told
  WHERE step = 'split' AND outcome = 'held'
  GROUP BY dataset, slot
),
lives AS (
  SELECT
    t.dataset,
    MIN(IF(t.step = 'load' AND t.outcome = 'loaded', t.at, NULL)) AS since,
    MAX(t.at) AS last_told
  FROM told AS t
  GROUP BY t.dataset
),
sets AS (
  SELECT
    n.dataset,
    ANY_VALUE(n.system) AS system,
    ANY_VALUE(n.unit) AS unit,
    MAX(n.origin) AS origin,
    ANY_VALUE(u.usual) AS usual,
    MAX(v.since) AS since,
    MAX(v.last_told) AS last_told,
    CASE ANY_VALUE(n.unit)
      WHEN 'month' THEN EXTRACT(YEAR FROM @now) * 12 + EXTRACT(MONTH FROM @now) - 1
      WHEN 'day' THEN UNIX_DATE(DATE(@now))
      ELSE DIV(UNIX_SECONDS(@now), 3600)
    END AS now_number
  FROM numbered AS n
  LEFT JOIN (
    SELECT
      dataset,
      CAST(APPROX_QUANTILES(step, 2)[OFFSET(1)] AS INT64) AS usual
    FROM ordered
    WHERE step IS NOT NULL
    GROUP BY dataset
  ) AS u ON u.dataset = n.dataset
  LEFT JOIN lives AS v ON v.dataset = n.dataset
  GROUP BY n.dataset
),
missed AS (
  SELECT
    o.dataset,
    o.number + k * s.usual AS number
  FROM ordered AS o
  JOIN sets AS s ON s.dataset = o.dataset
  CROSS JOIN UNNEST(
    GENERATE_ARRAY(1, DIV(COALESCE(o.next_number, s.now_number) - o.number, s.usual))
  ) AS k
  WHERE s.usual > 0
    AND IF(
      o.next_number IS NOT NULL,
      o.number + k * s.usual < o.next_number - s.usual / 2,
      o.number + k * s.usual < s.now_number - CEIL(s.usual / 2)
        AND s.last_told > TIMESTAMP_SUB(@now, INTERVAL 40 DAY)
    )
),
slots AS (
  SELECT
    dataset,
    number,
    slot,
    rows_out
  FROM numbered
  UNION ALL
  SELECT
    dataset,
    number,
    CAST(NULL AS STRING) AS slot,
    CAST(NULL AS INT64) AS rows_out
  FROM missed
),
dated AS (
  SELECT
    c.dataset,
    s.system,
    s.unit,
    s.origin,
    c.number,
    s.since,
    c.slot,
    c.rows_out,
    COALESCE(
      c.slot,
      CASE s.unit
        WHEN 'month' THEN FORMAT('%04d-%02d', DIV(c.number, 12), MOD(c.number, 12) + 1)
        WHEN 'day' THEN CAST(DATE_FROM_UNIX_DATE(c.number) AS STRING)
        ELSE CONCAT(
          CAST(DATE_FROM_UNIX_DATE(DIV(c.number, 24)) AS STRING),
          FORMAT('T%02d', MOD(c.number, 24))
        )
      END
    ) AS name,
    CASE s.unit
      WHEN 'month' THEN DATE(DIV(c.number, 12), MOD(c.number, 12) + 1, 1)
      WHEN 'day' THEN DATE_FROM_UNIX_DATE(c.number)
      ELSE DATE_FROM_UNIX_DATE(DIV(c.number, 24))
    END AS day
  FROM slots AS c
  JOIN sets AS s ON s.dataset = c.dataset
),
judged AS (
  SELECT
    d.dataset,
    d.system,
    d.unit,
    d.origin,
    d.day,
    CASE
      WHEN h.last_hold > COALESCE(l.last_load, TIMESTAMP '1970-01-01') THEN 'held'
      WHEN d.slot IS NULL THEN 'missing'
      WHEN d.rows_out = 0 THEN 'without rows'
      WHEN d.day >= DATE_SUB(DATE(@now), INTERVAL 91 DAY)
        AND CASE d.unit
          WHEN 'month' THEN
            EXTRACT(YEAR FROM l.first_load) * 12 + EXTRACT(MONTH FROM l.first_load) - 1
          WHEN 'day' THEN UNIX_DATE(DATE(l.first_load))
          ELSE DIV(UNIX_SECONDS(l.first_load), 3600)
        END >= d.number + 2
        AND CASE d.unit
          WHEN 'month' THEN EXTRACT(YEAR FROM d.since) * 12 + EXTRACT(MONTH FROM d.since) - 1
          WHEN 'day' THEN UNIX_DATE(DATE(d.since))
          ELSE DIV(UNIX_SECONDS(d.since), 3600)
        END <= d.number
        THEN 'late'
      ELSE 'complete'
    END AS state
  FROM dated AS d
  LEFT JOIN loads AS l ON l.dataset = d.dataset AND l.slot = d.name
  LEFT JOIN holds AS h ON h.dataset = d.dataset AND h.slot = d.name
  WHERE d.unit = 'month' OR d.day >= DATE_SUB(DATE(@now), INTERVAL 91 DAY)
),
reach AS (
  SELECT MAX(`at`) AS data_as_of
  FROM told
)
SELECT
  j.dataset,
  j.day,
  ANY_VALUE(j.system) AS system,
  ANY_VALUE(j.unit) AS unit,
  CASE
    WHEN COUNTIF(j.state = 'missing') > 0 THEN 'missing'
    WHEN COUNTIF(j.state = 'held') > 0 THEN 'held'
    WHEN COUNTIF(j.state = 'without rows') > 0 THEN 'without rows'
    WHEN COUNTIF(j.state = 'late') > 0 THEN 'late'
    ELSE 'complete'
  END AS state,
  COUNT(*) AS slots,
  COUNTIF(j.state = 'complete') AS complete,
  COUNTIF(j.state = 'late') AS late,
  COUNTIF(j.state = 'without rows') AS without_rows,
  COUNTIF(j.state = 'held') AS held,
  COUNTIF(j.state = 'missing') AS missing,
  COUNTIF(j.state != 'missing') AS sample_size,
  MAX(r.data_as_of) AS data_as_of,
  MAX(j.origin) AS origin
FROM judged AS j
CROSS JOIN reach AS r
GROUP BY j.dataset, j.day
