-- Grain: one row per data set and day of its slots (a month on its first day). Key: dataset, day.
-- The ledger has a row a slot, of the version that is loaded: rows in = out + rejected + duplicates.
WITH loaded AS (
  SELECT
    dataset,
    system,
    CAST(SUBSTR(slot_start, 1, 10) AS DATE) AS day,
    rows_in,
    rows_out,
    rejected,
    duplicates,
    revised,
    loaded_at,
    origin
  FROM ops.loads
  WHERE slot_start >= CAST(DATE_SUB(DATE(@now), INTERVAL 730 DAY) AS STRING)
    AND (
      LENGTH(slot) = 7
      OR slot_start >= CAST(DATE_SUB(DATE(@now), INTERVAL 91 DAY) AS STRING)
    )
)
SELECT
  dataset,
  day,
  ANY_VALUE(system) AS system,
  SUM(rows_in) AS rows_in,
  SUM(rows_out) AS rows_out,
  SUM(rejected) AS rejected,
  SUM(duplicates) AS duplicates,
  SUM(revised) AS revised,
  SUM(rows_in - rows_out - rejected - duplicates) AS difference,
  COUNTIF(rows_in != rows_out + rejected + duplicates) AS slots_off,
  COUNT(*) AS sample_size,
  MAX(loaded_at) AS data_as_of,
  MAX(origin) AS origin
FROM loaded
GROUP BY dataset, day
