-- Grain: one row per site and period in which each list showed it unchanged (SCD2).
-- Key: site, valid_from. A period begins with the list that shows it and ends with the first list
-- that does not; a day without a list belongs to the list before it. A code that one list has more
-- than once is as many sites, numbered by address. How sessions join: ADR 19.
WITH lists AS (
  SELECT
    PARSE_DATE('%Y-%m-%d', slot) AS listed_on,
    LEAD(PARSE_DATE('%Y-%m-%d', slot)) OVER (ORDER BY slot) AS next_on,
    ROW_NUMBER() OVER (ORDER BY slot) AS number
  FROM ledger
  WHERE dataset = 'paris_wifi_sites' AND rows_out > 0
),
used AS (
  SELECT
    site_code,
    MIN(local_day) AS first_day
  FROM lake.wifi_site_days
  WHERE slot_start >= DATE '2012-01-01'
  GROUP BY site_code
),
named AS (
  SELECT
    COALESCE(site_code, CONCAT('no code: ', name, ', ', COALESCE(address, 'no address'))) AS called,
    place,
    slot_start,
    site_code,
    name,
    address,
    postal_code,
    access_points,
    state,
    is_open,
    latitude,
    longitude
  FROM lake.wifi_sites
  WHERE slot_start >= DATE '2012-01-01'
),
listed AS (
  SELECT
    n.*,
    l.listed_on,
    l.next_on,
    l.number,
    ROW_NUMBER() OVER (
      PARTITION BY n.slot_start, n.called ORDER BY n.address, n.name
    ) AS doublet,
    COUNT(*) OVER (PARTITION BY n.slot_start, n.called) > 1 AS is_doubled
  FROM named AS n
  JOIN lists AS l ON l.listed_on = n.slot_start
),
sites AS (
  SELECT
    *,
    TO_JSON_STRING(STRUCT(
      name, address, postal_code, access_points, state, is_doubled
    )) AS facts,
    IF(doublet = 1, called, CONCAT(called, ' (', CAST(doublet AS STRING), ')')) AS site
  FROM listed
),
stepped AS (
  SELECT
    *,
    LAG(facts) OVER (PARTITION BY site ORDER BY number) AS facts_before,
    LAG(number) OVER (PARTITION BY site ORDER BY number) AS number_before
  FROM sites
),
numbered AS (
  SELECT
    *,
    COUNTIF(number_before IS NULL OR facts != facts_before OR number != number_before + 1)
      OVER (PARTITION BY site ORDER BY number) AS period
  FROM stepped
),
periods AS (
  SELECT
    site,
    period,
    MIN(listed_on) AS valid_from,
    IF(COUNTIF(next_on IS NULL) > 0, NULL, MAX(next_on)) AS valid_to,
    ANY_VALUE(site_code) AS site_code,
    ANY_VALUE(name) AS name,
    ANY_VALUE(address) AS address,
    ANY_VALUE(postal_code) AS postal_code,
    ANY_VALUE(place) AS district,
    ANY_VALUE(access_points) AS access_points,
    ANY_VALUE(state) AS state,
    ANY_VALUE(is_open) AS is_open,
    ANY_VALUE(is_doubled) AS is_doubled,
    MAX_BY(latitude, number) AS lat,
    MAX_BY(longitude, number) AS lon,
    COUNT(*) AS lists
  FROM numbered
  GROUP BY site, period
)
SELECT
  p.site,
  p.valid_from,
  p.valid_to,
  p.valid_to IS NULL AS is_current,
  p.site_code,
  p.name,
  p.address,
  p.postal_code,
  p.district,
  p.access_points,
  p.state,
  p.is_open,
  p.is_doubled,
  u.site_code IS NOT NULL AS has_sessions,
  IF(
    p.period = 1 AND p.site = p.site_code,
    LEAST(p.valid_from, COALESCE(u.first_day, p.valid_from)),
    p.valid_from
  ) AS joins_from,
  LEAD(p.valid_from) OVER (PARTITION BY p.site ORDER BY p.valid_from) AS joins_to,
  p.lat,
  p.lon,
  p.lists AS sample_size
FROM periods AS p
LEFT JOIN used AS u ON u.site_code = p.site_code
