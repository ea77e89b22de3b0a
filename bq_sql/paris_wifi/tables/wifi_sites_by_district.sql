-- Grain: one row per district on the newest list, one for each class of sites without one.
-- Key: district. Districts 1 to 20 and the classes are always there, zeros where none is listed.
-- Sessions are joined by site code on the list's side only: what does not join is counted.
WITH newest AS (
  SELECT MAX(PARSE_DATE('%Y-%m-%d', slot)) AS listed_on
  FROM ledger
  WHERE dataset = 'paris_wifi_sites' AND rows_out > 0
),
districts AS (
  SELECT CAST(number AS STRING) AS district
  FROM UNNEST(GENERATE_ARRAY(1, 20)) AS number
  UNION ALL
  SELECT unknown FROM UNNEST(['missing', 'malformed', 'outside']) AS unknown
)
SELECT
  d.district,
  n.listed_on,
  COUNT(h.site) AS sites,
  COUNTIF(h.is_open) AS open_sites,
  COUNTIF(h.site IS NOT NULL AND h.is_open IS NULL) AS sites_of_unknown_state,
  COALESCE(SUM(h.access_points), 0) AS access_points,
  COUNTIF(h.site IS NOT NULL AND h.access_points IS NULL) AS sites_without_access_points,
  COUNTIF(NOT h.has_sessions) AS sites_without_sessions,
  COUNT(h.site) AS sample_size
FROM districts AS d
CROSS JOIN newest AS n
LEFT JOIN wifi_site_history AS h ON h.district = d.district AND h.is_current
WHERE n.listed_on IS NOT NULL
GROUP BY d.district, n.listed_on
