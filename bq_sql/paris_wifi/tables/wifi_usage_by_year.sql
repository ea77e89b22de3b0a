-- Grain: one row per year and district with sessions. Key: year, district.
-- Sites are counted from their codes (W1); a mean length is minutes over counted sessions (W3).
WITH placed AS (
  SELECT
    EXTRACT(YEAR FROM local_day) AS year,
    place,
    site_code,
    sessions,
    sessions_counted,
    milliseconds,
    postal_codes_repaired
  FROM lake.wifi_site_days
  WHERE slot_start >= DATE '2012-01-01'
),
covered AS (
  SELECT
    year,
    COUNT(*) AS days,
    ANY_VALUE(is_partial_year) AS is_partial_year
  FROM wifi_days
  GROUP BY year
)
SELECT
  p.year,
  DATE(p.year, 1, 1) AS year_start,
  p.place AS district,
  SUM(p.sessions) AS sessions,
  SUM(p.sessions_counted) AS sessions_counted,
  SUM(p.milliseconds) / 60000 AS minutes,
  SAFE_DIVIDE(SUM(p.milliseconds) / 60000, SUM(p.sessions_counted)) AS minutes_per_session,
  COUNT(DISTINCT p.site_code) AS sites,
  SUM(p.postal_codes_repaired) AS postal_codes_repaired,
  ANY_VALUE(c.days) AS days_covered,
  ANY_VALUE(c.is_partial_year) AS is_partial_year,
  SUM(p.sessions) AS sample_size
FROM placed AS p
LEFT JOIN covered AS c ON c.year = p.year
GROUP BY p.year, p.place
