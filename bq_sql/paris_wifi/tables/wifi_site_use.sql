-- Grain: one row per year, site and district: where its sessions say they were, and where the lists
-- put it. Key: year, site, district. Both sides are kept: sessions that join no list, sites that no
-- session names (W4). Both parts of a rate per open day are those of the list's district, whatever
-- postal codes the sessions give. Which period a session joins, and which days are open: ADR 19.
WITH history AS (
  SELECT
    site,
    site_code,
    district,
    valid_from,
    valid_to,
    joins_from,
    joins_to,
    is_open AND NOT is_doubled AS is_open
  FROM wifi_site_history
),
months AS (
  SELECT
    year,
    MIN(day) AS first_day,
    MAX(day) AS last_day
  FROM wifi_days
  GROUP BY year, month
),
covered AS (
  SELECT
    year,
    ANY_VALUE(is_partial_year) AS is_partial_year
  FROM wifi_days
  GROUP BY year
),
joined AS (
  SELECT
    EXTRACT(YEAR FROM d.local_day) AS year,
    d.site_code AS site,
    d.place,
    d.district_class,
    d.sessions,
    d.sessions_counted,
    d.milliseconds,
    h.district AS listed_in,
    h.is_open,
    CASE
      WHEN h.site IS NULL THEN 'never'
      WHEN d.local_day < h.valid_from THEN 'earliest'
      WHEN d.local_day >= h.valid_to THEN 'last'
      ELSE 'as of'
    END AS joins
  FROM lake.wifi_site_days AS d
  LEFT JOIN history AS h
    ON h.site = d.site_code
    AND h.joins_from <= d.local_day
    AND (h.joins_to IS NULL OR h.joins_to > d.local_day)
  WHERE d.slot_start >= DATE '2012-01-01'
),
used AS (
  SELECT
    year,
    site,
    place AS district,
    SUM(sessions) AS sessions,
    SUM(sessions_counted) AS sessions_counted,
    SUM(milliseconds) AS milliseconds,
    SUM(IF(joins = 'as of', sessions, 0)) AS joined_as_of,
    SUM(IF(joins = 'earliest', sessions, 0)) AS joined_earliest,
    SUM(IF(joins = 'last', sessions, 0)) AS joined_last,
    SUM(IF(joins = 'never', sessions, 0)) AS never_joined,
    SUM(IF(district_class = 'known' AND listed_in != place, sessions, 0)) AS listed_elsewhere
  FROM joined
  GROUP BY year, site, place
),
opened AS (
  SELECT
    year,
    site,
    listed_in AS district,
    SUM(sessions) AS sessions,
    SUM(milliseconds) AS milliseconds
  FROM joined
  WHERE is_open AND joins != 'last'
  GROUP BY year, site, listed_in
),
spans AS (
  SELECT
    m.year,
    h.site,
    h.site_code,
    h.district,
    h.is_open,
    DATE_DIFF(
      LEAST(m.last_day, COALESCE(DATE_SUB(h.valid_to, INTERVAL 1 DAY), m.last_day)),
      GREATEST(m.first_day, h.joins_from),
      DAY
    ) + 1 AS days,
    GREATEST(0, DATE_DIFF(LEAST(DATE_ADD(m.last_day, INTERVAL 1 DAY), h.valid_from),
      GREATEST(m.first_day, h.joins_from), DAY)) AS days_before_first_list
  FROM history AS h
  JOIN months AS m
    ON h.joins_from <= m.last_day AND COALESCE(h.valid_to, DATE '9999-12-31') > m.first_day
),
stood AS (
  SELECT
    year,
    site,
    district,
    ANY_VALUE(site_code) AS site_code,
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
    COALESCE(u.site, s.site) AS site,
    COALESCE(u.district, s.district) AS district,
    COALESCE(u.site, s.site_code) AS site_code,
    u.* EXCEPT (year, site, district),
    s.* EXCEPT (year, site, district, site_code)
  FROM used AS u
  FULL JOIN stood AS s ON s.year = u.year AND s.site = u.site AND s.district = u.district
),
newest AS (
  SELECT
    site,
    name,
    lat,
    lon,
    has_sessions
  FROM wifi_site_history
  WHERE joins_to IS NULL
)
SELECT
  b.year,
  DATE(b.year, 1, 1) AS year_start,
  b.site,
  b.site_code,
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
  COALESCE(o.sessions, 0) AS sessions_while_open,
  COALESCE(o.milliseconds, 0) AS milliseconds_while_open,
  COALESCE(o.milliseconds, 0) / 60000 AS minutes_while_open,
  COALESCE(b.listed_days, 0) AS listed_days,
  COALESCE(b.open_days, 0) AS open_days,
  COALESCE(b.open_days_before_first_list, 0) AS open_days_before_first_list,
  COALESCE(b.days_of_unknown_state, 0) AS days_of_unknown_state,
  SAFE_DIVIDE(COALESCE(o.sessions, 0), b.open_days) AS sessions_per_open_day,
  SAFE_DIVIDE(COALESCE(o.milliseconds, 0) / 60000, b.open_days) AS minutes_per_open_day,
  c.is_partial_year,
  n.lat,
  n.lon,
  COALESCE(b.sessions, 0) AS sample_size
FROM both AS b
LEFT JOIN covered AS c ON c.year = b.year
LEFT JOIN opened AS o ON o.year = b.year AND o.site = b.site AND o.district = b.district
LEFT JOIN newest AS n ON n.site = b.site
