-- Grain: one row per year and site among the 20 with the most sessions. Key: year, site.
-- A site's sessions of all districts together; sites of equal sessions share their rank.
WITH sites AS (
  SELECT
    year,
    site,
    ANY_VALUE(name) AS name,
    ARRAY_AGG(district ORDER BY sessions DESC, district LIMIT 1)[OFFSET(0)] AS district,
    ANY_VALUE(is_partial_year) AS is_partial_year,
    SUM(sessions) AS sessions,
    SUM(sessions_counted) AS sessions_counted,
    SUM(milliseconds) AS milliseconds
  FROM wifi_site_use
  WHERE sessions > 0
  GROUP BY year, site
),
ranked AS (
  SELECT
    *,
    RANK() OVER (PARTITION BY year ORDER BY sessions DESC) AS rank,
    SUM(sessions) OVER (PARTITION BY year) AS all_sessions
  FROM sites
)
SELECT
  year,
  DATE(year, 1, 1) AS year_start,
  rank,
  site,
  name,
  district,
  sessions,
  sessions_counted,
  milliseconds / 60000 AS minutes,
  SAFE_DIVIDE(milliseconds / 60000, sessions_counted) AS minutes_per_session,
  100 * sessions / all_sessions AS share_percent,
  is_partial_year,
  sessions AS sample_size
FROM ranked
WHERE rank <= 20
