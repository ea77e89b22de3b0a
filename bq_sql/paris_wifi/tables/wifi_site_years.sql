-- Grain: one row per year and site, those without sessions too. Key: year, site.
-- A site stands once, whatever districts its sessions and its lists give it: in that of most of its
-- sessions, or of most of its listed days where it has none.
WITH sites AS (
  SELECT
    year,
    site,
    ANY_VALUE(name) AS name,
    ARRAY_AGG(
      district ORDER BY sessions DESC, listed_days DESC, district LIMIT 1
    )[OFFSET(0)] AS district,
    COUNT(*) AS districts,
    ANY_VALUE(is_partial_year) AS is_partial_year,
    ANY_VALUE(lat) AS lat,
    ANY_VALUE(lon) AS lon,
    SUM(sessions) AS sessions,
    SUM(sessions_counted) AS sessions_counted,
    SUM(milliseconds) AS milliseconds,
    SUM(sessions_while_open) AS sessions_while_open,
    SUM(open_days) AS open_days
  FROM wifi_site_use
  GROUP BY year, site
)
SELECT
  year,
  DATE(year, 1, 1) AS year_start,
  site,
  name,
  district,
  districts,
  sessions,
  sessions_counted,
  milliseconds / 60000 AS minutes,
  SAFE_DIVIDE(milliseconds / 60000, sessions_counted) AS minutes_per_session,
  sessions_while_open,
  open_days,
  SAFE_DIVIDE(sessions_while_open, open_days) AS sessions_per_open_day,
  is_partial_year,
  lat,
  lon,
  sessions AS sample_size
FROM sites
