-- Grain: one row per district on the latest day that was listed, one for 'outside Paris' and one for
-- 'unknown'. Key: district. Districts 1 to 20 are always there, with zeros where none is listed.
-- Sessions are joined by site code on the listing's side only: what does not join is counted.
WITH latest AS (
  SELECT MAX(slot) AS slot
  FROM ledger
  WHERE dataset = 'paris_wifi_sites' AND rows_out > 0
),
listed AS (
  SELECT
    CASE
      WHEN s.district IS NOT NULL THEN CAST(s.district AS STRING)
      WHEN s.postal_code IS NULL THEN 'unknown'
      ELSE 'outside Paris'
    END AS district,
    s.slot_start AS listed_on,
    s.site_code,
    s.access_points,
    s.is_open
  FROM lake.wifi_sites AS s
  WHERE s.slot_start >= DATE '2012-01-01'
    AND s.slot_start = (SELECT PARSE_DATE('%Y-%m-%d', slot) FROM latest)
),
used AS (
  SELECT DISTINCT site_code
  FROM lake.wifi_sessions
  WHERE slot_start >= DATE '2012-01-01'
),
districts AS (
  SELECT CAST(number AS STRING) AS district
  FROM UNNEST(GENERATE_ARRAY(1, 20)) AS number
  UNION ALL
  SELECT 'outside Paris'
  UNION ALL
  SELECT 'unknown'
)
SELECT
  d.district,
  (SELECT PARSE_DATE('%Y-%m-%d', slot) FROM latest) AS listed_on,
  COUNT(l.listed_on) AS sites,
  COUNTIF(l.is_open) AS open_sites,
  COUNTIF(l.listed_on IS NOT NULL AND l.is_open IS NULL) AS sites_of_unknown_state,
  COALESCE(SUM(l.access_points), 0) AS access_points,
  COUNTIF(l.listed_on IS NOT NULL AND l.access_points IS NULL) AS sites_without_access_points,
  COUNTIF(l.listed_on IS NOT NULL AND u.site_code IS NULL) AS sites_without_sessions,
  COUNT(l.listed_on) AS sample_size
FROM districts AS d
LEFT JOIN listed AS l ON l.district = d.district
LEFT JOIN used AS u ON u.site_code = l.site_code
WHERE (SELECT slot FROM latest) IS NOT NULL
GROUP BY d.district
