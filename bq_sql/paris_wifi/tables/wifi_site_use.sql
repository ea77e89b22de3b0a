-- Grain: one row per year, site and district: where its sessions say they were, and where the lists
-- put it. Key: year, site, district. Both sides are kept: sessions that join no list, sites that no
-- session names (W4). Which period a session joins, and which days a site counts as open: ADR 19.
WITH months AS (
  SELECT
    year,
    MIN(day) AS first_day,
    MAX(day) AS last_day
  FROM wifi_days
  GROUP BY year, month
),
placed AS (
  SELECT
    local_day,
    EXTRACT(YEAR FROM local_day) AS year,
    site_code,
    place,
    sessions,
    sessions_counted,
    milliseconds
  FROM lake.wifi_site_days
  WHERE slot_start >= DATE '2012-01-01'
),
used AS (
  SELECT
    p.year,
    p.site_code,
    p.place,
    SUM(p.sessions) AS sessions,
    SUM(p.sessions_counted) AS sessions_counted,
    SUM(p.milliseconds) AS milliseconds,
    SUM(IF(p.local_day >= h.valid_from AND (h.valid_to IS NULL OR p.local_day < h.valid_to),
      p.sessions, 0)) AS joined_as_of,
    SUM(IF(p.local_day < h.valid_from, p.sessions, 0)) AS joined_earliest,
    SUM(IF(p.local_day >= h.valid_to, p.sessions, 0)) AS joined_last,
    SUM(IF(h.site IS NULL, p.sessions, 0)) AS never_joined,
    SUM(IF(h.district != p.place, p.sessions, 0)) AS listed_elsewhere,
    SUM(IF(h.is_open AND (h.valid_to IS NULL OR p.local_day < h.valid_to), p.sessions, 0))
      AS sessions_while_open,
    SUM(IF(h.is_open AND (h.valid_to IS NULL OR p.local_day < h.valid_to), p.milliseconds, 0))
      AS milliseconds_while_open
  FROM placed AS p
  LEFT JOIN wifi_site_history AS h
    ON h.site = p.site_code
    AND h.joins_from <= p.local_day
    AND (h.joins_to IS NULL OR h.joins_to > p.local_day)
  GROUP BY p.year, p.site_code, p.place
),
spans AS (
  SELECT
    m.year,
    h.site,
    h.district,
    h.is_open,
    DATE_DIFF(
      LEAST(m.last_day, COALESCE(DATE_SUB(h.valid_to, INTERVAL 1 DAY), m.last_day)),
      GREATEST(m.first_day, h.joins_from),
      DAY
    ) + 1 AS days,
    GREATEST(0, DATE_DIFF(LEAST(DATE_ADD(m.last_day, INTERVAL 1 DAY), h.valid_from),
      GREATEST(m.first_day, h.joins_from), DAY)) AS days_before_first_list
  FROM wifi_site_history AS h
  JOIN months AS m
    ON h.joins_from <= m.last_day AND COALESCE(h.valid_to, DATE '9999-12-31') > m.first_day
),
stood AS (
  SELECT
    year,
    site,
    district,
    SUM(days) AS listed_days,
    SUM(IF(is_open, days, 0)) AS open_days,
    SUM(IF(is_open, days_before_first_list, 0)) AS open_days_before_first_list,
    SUM(IF(is_open IS NULL, days, 0)) AS days_of_unknown_state
  FROM spans
  GROUP BY year, site, district
),
both AS (
  SELECT
    COALESCE(u.year, s.year) AS year,
    COALESCE(u.site_code, s.site) AS site,
    COALESCE(u.place, s.district) AS district,
    u.* EXCEPT (year, site_code, place),
    s.* EXCEPT (year, site, district)
  FROM used AS u
  FULL JOIN stood AS s ON s.year = u.year AND s.site = u.site_code AND s.district = u.place
),
newest AS (
  SELECT
    site,
    name,
    has_sessions
  FROM wifi_site_history
  WHERE joins_to IS NULL
)
SELECT
  b.year,
  DATE(b.year, 1, 1) AS year_start,
  b.site,
  n.name,
  b.district,
  COALESCE(n.has_sessions, TRUE) AS is_ever_used,
  COALESCE(b.sessions, 0) AS sessions,
  COALESCE(b.sessions_counted, 0) AS sessions_counted,
  COALESCE(b.milliseconds, 0) AS milliseconds,
  COALESCE(b.milliseconds, 0) / 60000 AS minutes,
  SAFE_DIVIDE(b.milliseconds / 60000, b.sessions_counted) AS minutes_per_session,
  COALESCE(b.joined_as_of, 0) AS sessions_joined_as_of,
  COALESCE(b.joined_earliest, 0) AS sessions_joined_earliest,
  COALESCE(b.joined_last, 0) AS sessions_joined_last,
  COALESCE(b.never_joined, 0) AS sessions_never_joined,
  COALESCE(b.listed_elsewhere, 0) AS sessions_listed_elsewhere,
  COALESCE(b.sessions_while_open, 0) AS sessions_while_open,
  COALESCE(b.milliseconds_while_open, 0) AS milliseconds_while_open,
  COALESCE(b.milliseconds_while_open, 0) / 60000 AS minutes_while_open,
  COALESCE(b.listed_days, 0) AS listed_days,
  COALESCE(b.open_days, 0) AS open_days,
  COALESCE(b.open_days_before_first_list, 0) AS open_days_before_first_list,
  COALESCE(b.days_of_unknown_state, 0) AS days_of_unknown_state,
  SAFE_DIVIDE(COALESCE(b.sessions_while_open, 0), b.open_days) AS sessions_per_open_day,
  SAFE_DIVIDE(COALESCE(b.milliseconds_while_open, 0) / 60000, b.open_days) AS minutes_per_open_day,
  COALESCE(b.sessions, 0) AS sample_size
FROM both AS b
LEFT JOIN newest AS n ON n.site = b.site
