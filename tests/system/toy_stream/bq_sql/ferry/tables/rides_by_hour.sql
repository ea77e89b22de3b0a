-- Rides by hour and gate. Key: hour, gate.
SELECT
  slot_start AS hour,
  DATE(slot_start) AS day,
  gate,
  SUM(fare_cents) AS fares_cents,
  MAX(delay_s) AS longest_delay_s,
  COUNT(*) AS sample_size
FROM lake.ferry_rides
WHERE slot_start >= TIMESTAMP '2020-01-01'
GROUP BY slot_start, gate
