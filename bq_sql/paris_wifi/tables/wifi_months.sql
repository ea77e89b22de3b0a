-- Grain: one row per month from the first that is loaded to the last. Key: month.
-- A month that the newest whole export does not bring stays as it was and is marked; a run with a
-- dot, a slice or a slot that was asked for, says nothing of the other months: where all newer runs
-- are such, nothing can be said. What each layer of the lake holds of a month stands side by side.
WITH loaded AS (
  SELECT
    PARSE_DATE('%Y-%m-%d', CONCAT(slot, '-01')) AS month,
    rows_in,
    rows_out,
    rejected,
    duplicates,
    run
  FROM ledger
  WHERE dataset = 'paris_wifi_usage'
),
newest AS (
  SELECT
    MAX(run) AS run,
    MAX(IF(STRPOS(run, '.') = 0, run, NULL)) AS whole_run
  FROM loaded
),
calendar AS (
  SELECT month
  FROM (
    SELECT
      MIN(month) AS first_month,
      MAX(month) AS last_month
    FROM loaded
    WHERE rows_out > 0
  ) AS b
  CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(b.first_month, b.last_month, INTERVAL 1 MONTH)) AS month
),
layers AS (
  SELECT slot_start, 1 AS in_sessions, 0 AS in_site_days, 0 AS in_languages, 0 AS in_hours
  FROM lake.wifi_sessions
  WHERE slot_start >= DATE '2012-01-01'
  UNION ALL
  SELECT slot_start, 0, sessions, 0, 0
  FROM lake.wifi_site_days
  WHERE slot_start >= DATE '2012-01-01'
  UNION ALL
  SELECT slot_start, 0, 0, sessions, 0
  FROM lake.wifi_language_devices
  WHERE slot_start >= DATE '2012-01-01'
  UNION ALL
  SELECT slot_start, 0, 0, 0, sessions
  FROM lake.wifi_hours
  WHERE slot_start >= DATE '2012-01-01'
),
held AS (
  SELECT
    slot_start,
    SUM(in_sessions) AS in_sessions,
    SUM(in_site_days) AS in_site_days,
    SUM(in_languages) AS in_languages,
    SUM(in_hours) AS in_hours
  FROM layers
  GROUP BY slot_start
),
days AS (
  SELECT
    month,
    COUNTIF(sessions > 0) AS days,
    SUM(sessions) AS sessions
  FROM wifi_days
  GROUP BY month
)
SELECT
  c.month,
  CASE
    WHEN COALESCE(l.rows_out, 0) = 0 THEN 'missing'
    WHEN COALESCE(d.days, 0) < EXTRACT(DAY FROM LAST_DAY(c.month)) THEN 'partial'
    ELSE 'complete'
  END AS state,
  EXTRACT(DAY FROM LAST_DAY(c.month)) AS days_in_month,
  COALESCE(d.days, 0) AS days_with_sessions,
  COALESCE(l.rows_in, 0) AS rows_in,
  COALESCE(l.rejected, 0) AS rejected,
  COALESCE(l.duplicates, 0) AS duplicates,
  COALESCE(l.rows_out, 0) AS sessions,
  COALESCE(h.in_sessions, 0) AS sessions_in_lake,
  COALESCE(h.in_site_days, 0) AS sessions_in_site_days,
  COALESCE(h.in_languages, 0) AS sessions_in_languages,
  COALESCE(h.in_hours, 0) AS sessions_in_hours,
  COALESCE(d.sessions, 0) AS sessions_in_days,
  l.run,
  n.run AS newest_run,
  CASE
    WHEN SUBSTR(l.run, 1, 16) >= SUBSTR(n.run, 1, 16) THEN TRUE
    WHEN n.whole_run IS NOT NULL THEN COALESCE(SUBSTR(l.run, 1, 16) >= n.whole_run, FALSE)
  END AS is_in_newest_run,
  COALESCE(l.rows_out, 0) AS sample_size
FROM calendar AS c
CROSS JOIN newest AS n
LEFT JOIN loaded AS l ON l.month = c.month
LEFT JOIN held AS h ON h.slot_start = c.month
LEFT JOIN days AS d ON d.month = c.month
