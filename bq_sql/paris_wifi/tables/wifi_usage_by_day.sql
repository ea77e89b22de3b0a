-- Grain: one row per day in Paris and district with sessions. Key: day, district.
-- Sessions of no known district stand under the class that says why. Additive parts only.
SELECT
  local_day AS day,
  place AS district,
  SUM(sessions) AS sessions,
  SUM(sessions_counted) AS sessions_counted,
  SUM(milliseconds) / 60000 AS minutes,
  COUNT(DISTINCT site_code) AS sites,
  SUM(sessions) AS sample_size
FROM lake.wifi_site_days
WHERE slot_start >= DATE '2012-01-01'
GROUP BY local_day, place
