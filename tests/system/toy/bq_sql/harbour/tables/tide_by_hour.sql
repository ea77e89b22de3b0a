-- Water by hour and gauge. Key: hour, gauge.
SELECT
  slot_start AS hour,
  DATE(slot_start) AS day,
  gauge,
  MIN(level_cm) AS lowest_cm,
  MAX(level_cm) AS highest_cm,
  SUM(rise_cm) AS rise_cm,
  COUNT(*) AS sample_size
FROM lake.gauge_readings
WHERE slot_start >= TIMESTAMP '2020-01-01'
GROUP BY slot_start, gauge
