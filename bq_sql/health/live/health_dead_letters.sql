-- Grain: one row per message that was dead-lettered in the last 30 days. Key: message_id.
-- The same message may be written twice. How far it reaches, any event of any step tells.
WITH reach AS (
  SELECT MAX(`at`) AS data_as_of
  FROM ops.events
  WHERE `at` BETWEEN TIMESTAMP_SUB(@now, INTERVAL 30 DAY) AND @now
)
SELECT
  message_id,
  publish_time AS published,
  DATE(publish_time) AS day,
  JSON_VALUE(attributes, '$.CloudPubSubDeadLetterSourceSubscription') AS subscription,
  CAST(
    JSON_VALUE(attributes, '$.CloudPubSubDeadLetterSourceDeliveryCount') AS INT64
  ) AS deliveries,
  JSON_VALUE(attributes, '$.objectId') AS object,
  SUBSTR(data, 1, 200) AS message,
  1 AS sample_size,
  r.data_as_of,
  CAST(NULL AS STRING) AS origin
FROM ops.dead_letters AS d
CROSS JOIN reach AS r
WHERE d.publish_time BETWEEN TIMESTAMP_SUB(@now, INTERVAL 30 DAY) AND @now
QUALIFY ROW_NUMBER() OVER (PARTITION BY message_id ORDER BY publish_time) = 1
