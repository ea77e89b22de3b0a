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
),
covered AS (
  SELECT
    year,
    ANY_VALUE(is_partial_year) AS is_partial_year
  FROM wifi_days
  GROUP BY year
)
SELECT
  u.year,
  DATE(u.year, 1, 1) AS year_start,
  u.told AS device,
  u.sessions,
  100 * u.sessions / SUM(u.sessions) OVER (PARTITION BY u.year) AS share_percent,
  RANK() OVER (PARTITION BY u.year ORDER BY u.sessions DESC) AS rank,
  u.sessions_counted,
  u.milliseconds / 60000 AS minutes,
  SAFE_DIVIDE(u.milliseconds / 60000, u.sessions_counted) AS minutes_per_session,
  c.is_partial_year,
  u.sessions AS sample_size
FROM used AS u
LEFT JOIN covered AS c ON c.year = u.year
