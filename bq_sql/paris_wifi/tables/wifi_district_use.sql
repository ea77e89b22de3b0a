-- Grain: one row per year and district, all sites of a list or of the sessions. Key: year, district.
-- Sessions per open site and day: the sessions at open sites over the days that these were open (W4).
WITH placed AS (
  SELECT
    *,
    SUM(sessions) OVER (PARTITION BY year, COALESCE(site_code, site)) AS sessions_of_site
  FROM wifi_site_use
),
covered AS (
  SELECT
    year,
    COUNT(*) AS days
  FROM wifi_days
  GROUP BY year
)
SELECT
  u.year,
  DATE(u.year, 1, 1) AS year_start,
  u.district,
  SUM(u.sessions) AS sessions,
  SUM(u.sessions_joined_as_of) AS sessions_joined_as_of,
  SUM(u.sessions_joined_earliest) AS sessions_joined_earliest,
  SUM(u.sessions_joined_last) AS sessions_joined_last,
  SUM(u.sessions_never_joined) AS sessions_never_joined,
  SUM(u.sessions_listed_elsewhere) AS sessions_listed_elsewhere,
  SUM(u.sessions_while_open) AS sessions_while_open,
  SUM(u.milliseconds_while_open) / 60000 AS minutes_while_open,
  COUNTIF(u.sessions > 0) AS used_sites,
  COUNTIF(u.listed_days > 0 AND u.sessions_of_site = 0) AS listed_sites_without_sessions,
  COUNTIF(NOT u.is_ever_used) AS listed_sites_never_used,
  SUM(u.open_days) AS open_site_days,
  SUM(u.open_days_before_first_list) AS open_days_before_first_list,
  SUM(u.days_of_unknown_state) AS site_days_of_unknown_state,
  ANY_VALUE(c.days) AS days_covered,
  SUM(u.open_days) / ANY_VALUE(c.days) AS open_sites_per_day,
  SAFE_DIVIDE(SUM(u.sessions_while_open), SUM(u.open_days)) AS sessions_per_open_site_day,
  SAFE_DIVIDE(SUM(u.milliseconds_while_open) / 60000, SUM(u.open_days)) AS minutes_per_open_site_day,
  ANY_VALUE(u.is_partial_year) AS is_partial_year,
  SUM(u.sessions) AS sample_size
FROM placed AS u
JOIN covered AS c ON c.year = u.year
GROUP BY u.year, u.district
