-- What no export can make: a day counted twice, shares that are not 100, lengths below zero, a
-- district of no name, periods of a site that overlap, a session joined twice or not at all.
ASSERT NOT EXISTS (
  SELECT 1
  FROM (
    SELECT COUNT(*) AS days, COUNT(DISTINCT day) AS dates, COUNTIF(DATE_TRUNC(day, MONTH) = month) AS own
    FROM wifi_days
  ) AS d
  CROSS JOIN (SELECT COALESCE(SUM(days), 0) AS days FROM wifi_day_types) AS t
  WHERE d.days != d.dates OR d.days != d.own OR d.days != t.days
) AS 'wifi_days: a day is counted twice or stands in two types of day';
ASSERT NOT EXISTS (
  SELECT 1
  FROM (
    SELECT 'language' AS report, year, SUM(share_percent) AS percent
    FROM wifi_languages
    GROUP BY year
    UNION ALL
    SELECT 'device', year, SUM(share_percent)
    FROM wifi_devices
    GROUP BY year
  ) AS s
  WHERE ABS(percent - 100) > 1e-6
) AS 'wifi_languages, wifi_devices: the shares of a year do not sum to 100 within a millionth';
ASSERT NOT EXISTS (
  SELECT 1
  FROM wifi_session_length
  WHERE shortest_minutes <= 0
    OR sessions_counted + sessions_missing_length + sessions_zero + sessions_negative
      + sessions_over_limit != sessions
) AS 'wifi_session_length: a counted length is not above zero, or a session has no class of length';
ASSERT NOT EXISTS (
  SELECT 1
  FROM wifi_usage_by_day
  WHERE sessions_counted > sessions OR sites > sessions OR minutes < 0
) AS 'wifi_usage_by_day: more counted sessions or sites than sessions, or a negative length';
ASSERT NOT EXISTS (
  SELECT 1
  FROM wifi_usage_by_day
  WHERE district NOT IN ('missing', 'malformed', 'outside')
    AND COALESCE(SAFE_CAST(district AS INT64) NOT BETWEEN 1 AND 20, TRUE)
) AS 'wifi_usage_by_day: a district is neither 1 to 20 nor a class of the unknown';
ASSERT NOT EXISTS (
  SELECT 1
  FROM (
    SELECT
      valid_from,
      valid_to,
      joins_from,
      LEAD(valid_from) OVER (PARTITION BY site ORDER BY valid_from) AS next_from
    FROM wifi_site_history
  ) AS h
  WHERE valid_to <= valid_from OR joins_from > valid_from OR COALESCE(valid_to > next_from, FALSE)
    OR (valid_to IS NULL AND next_from IS NOT NULL)
) AS 'wifi_site_history: a period is empty or overlaps the next';
ASSERT NOT EXISTS (
  SELECT 1
  FROM (
    SELECT
      *,
      SUM(sessions) OVER of_site AS sessions_of_site,
      SUM(sessions_while_open) OVER of_site AS while_open_of_site
    FROM wifi_site_use
    WINDOW of_site AS (PARTITION BY year, site)
  ) AS u
  WHERE sessions_joined_as_of + sessions_joined_earliest + sessions_joined_last
      + sessions_never_joined != sessions
    OR while_open_of_site > sessions_of_site
    OR (sessions_while_open > 0 AND open_days = 0)
    OR open_days + days_of_unknown_state > listed_days
) AS 'wifi_site_use: a session joins no list or two, or a site is open when it is not listed';
ASSERT NOT EXISTS (
  SELECT 1
  FROM wifi_sites_by_district
  WHERE open_sites + sites_of_unknown_state > sites
) AS 'wifi_sites_by_district: more open sites than sites';
