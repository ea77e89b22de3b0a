-- Grain: one row per year and device, one for sessions that give none. Key: year, device.
-- Shares are of all sessions of the year, the population of every other report (W6).
WITH used AS (
  SELECT
    EXTRACT(YEAR FROM slot_start) AS year,
    COALESCE(device, 'not given') AS told,
    SUM(sessions) AS sessions,
    SUM(sessions_counted) AS sessions_counted,
    SUM(milliseconds) AS milliseconds
  FROM lake.wifi_language_devices
  WHERE slot_start >= DATE '2012-01-01'
  GROUP BY year, told
)
SELECT
  year,
  DATE(year, 1, 1) AS year_start,
  told AS device,
  sessions,
  100 * sessions / SUM(sessions) OVER (PARTITION BY year) AS share_percent,
  RANK() OVER (PARTITION BY year ORDER BY sessions DESC) AS rank,
  sessions_counted,
  milliseconds / 60000 AS minutes,
  SAFE_DIVIDE(milliseconds / 60000, sessions_counted) AS minutes_per_session,
  sessions AS sample_size
FROM used
