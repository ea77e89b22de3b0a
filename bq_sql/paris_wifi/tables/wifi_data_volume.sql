-- Grain: one row per month and district with sessions. Key: month, district.
-- A gigabyte is 10^9 bytes. Only sessions that give their volumes count in them.
SELECT
  slot_start AS month,
  place AS district,
  SUM(sessions) AS sessions,
  SUM(sessions_with_bytes) AS sessions_with_bytes,
  SUM(bytes_in) AS bytes_in,
  SUM(bytes_out) AS bytes_out,
  SUM(bytes_in) / 1e9 AS gigabytes_in,
  SUM(bytes_out) / 1e9 AS gigabytes_out,
  SAFE_DIVIDE(SUM(bytes_in) + SUM(bytes_out), 1e6 * SUM(sessions_with_bytes))
    AS megabytes_per_session,
  SUM(sessions_with_bytes) AS sample_size
FROM lake.wifi_site_days
WHERE slot_start >= DATE '2012-01-01'
GROUP BY slot_start, place
