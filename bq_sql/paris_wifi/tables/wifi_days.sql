-- Grain: one row per covered day in Paris, also where no session starts on it. Key: day.
-- Covered is every day of a loaded month between the first and the last session of all.
WITH hours AS (
  SELECT
    local_day,
    SUM(sessions) AS sessions,
    SUM(sessions_counted) AS sessions_counted,
    SUM(milliseconds) AS milliseconds
  FROM lake.wifi_hours
  WHERE slot_start >= DATE '2012-01-01'
  GROUP BY local_day
),
bounds AS (
  SELECT
    MIN(local_day) AS first_day,
    MAX(local_day) AS last_day
  FROM hours
),
months AS (
  SELECT PARSE_DATE('%Y-%m-%d', CONCAT(slot, '-01')) AS month
  FROM ledger
  WHERE dataset = 'paris_wifi_usage' AND rows_out > 0
),
covered AS (
  SELECT
    day,
    m.month
  FROM months AS m
  CROSS JOIN bounds AS b
  CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(
    GREATEST(m.month, b.first_day), LEAST(LAST_DAY(m.month), b.last_day)
  )) AS day
),
holidays AS (
  SELECT
    date,
    STRING_AGG(name, ', ' ORDER BY name) AS name
  FROM lake.french_holidays
  WHERE slot_start >= DATE '2012-01-01'
    AND slot_start = (
      SELECT MAX(PARSE_DATE('%Y-%m-%d', slot))
      FROM ledger
      WHERE dataset = 'french_holidays' AND rows_out > 0
    )
  GROUP BY date
),
listed_years AS (
  SELECT DISTINCT EXTRACT(YEAR FROM date) AS year
  FROM holidays
)
SELECT
  c.day,
  c.month,
  EXTRACT(YEAR FROM c.day) AS year,
  FORMAT_DATE('%A', c.day) AS weekday,
  MOD(EXTRACT(DAYOFWEEK FROM c.day) + 5, 7) + 1 AS weekday_number,
  CASE
    WHEN f.date IS NOT NULL THEN 'public holiday'
    WHEN EXTRACT(DAYOFWEEK FROM c.day) IN (1, 7) THEN 'weekend'
    WHEN EXTRACT(DAYOFWEEK FROM c.day) = 6 THEN 'Friday'
    ELSE 'Monday to Thursday'
  END AS day_type,
  f.name AS holiday,
  y.year IS NOT NULL AS holidays_known,
  COUNT(*) OVER (PARTITION BY EXTRACT(YEAR FROM c.day))
    < EXTRACT(DAYOFYEAR FROM DATE(EXTRACT(YEAR FROM c.day), 12, 31)) AS is_partial_year,
  COALESCE(h.sessions, 0) AS sessions,
  COALESCE(h.sessions_counted, 0) AS sessions_counted,
  COALESCE(h.milliseconds, 0) AS milliseconds,
  COALESCE(h.milliseconds, 0) / 60000 AS minutes,
  COALESCE(h.sessions, 0) AS sample_size
FROM covered AS c
LEFT JOIN hours AS h ON h.local_day = c.day
LEFT JOIN holidays AS f ON f.date = c.day
LEFT JOIN listed_years AS y ON y.year = EXTRACT(YEAR FROM c.day)
