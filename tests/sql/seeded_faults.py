"""Statements with one fault each, over the tables of the project."""

from __future__ import annotations

ANALYSER_FAULTS = {
    "a table's name that is a column's too": "WITH facts AS (SELECT 1 AS id, 'a' AS facts) SELECT facts = 'a' AS x FROM facts",
    "a reserved name without backticks": "SELECT MAX(at) AS x FROM ops.events",
    "an alias used in the same SELECT": "SELECT rows_in AS n, n + 1 AS x FROM ops.loads",
    "an alias used in WHERE": "SELECT rows_in AS n FROM ops.loads WHERE n > 1",
    "DATE compared with TIMESTAMP": "SELECT 1 AS x FROM lake.wifi_hours AS h JOIN lake.velib_area_hours AS v ON h.slot_start = v.slot_start",
    "STRING compared with INT64": "SELECT 1 AS x FROM ops.loads WHERE slot = 5",
    "STRING compared with DATE": "SELECT 1 AS x FROM ops.loads WHERE slot_start >= DATE '2024-01-01'",
    "UNION of STRING and INT64": "SELECT slot AS x FROM ops.loads UNION ALL SELECT rows_in FROM ops.loads",
    "CASE of STRING and INT64": "SELECT CASE WHEN rows_in > 1 THEN slot ELSE rows_in END AS x FROM ops.loads",
    "COALESCE of INT64 and STRING": "SELECT COALESCE(rows_in, 'none') AS x FROM ops.loads",
    "STRING + INT64": "SELECT slot + 1 AS x FROM ops.loads",
    "an aggregate of DuckDB": "SELECT list_sort([3, 1]) AS x",
    "a function of DuckDB": "SELECT epoch_ms(loaded_at) AS x FROM ops.loads",
    "a column that does not exist": "SELECT rows_outt AS x FROM ops.loads",
    "a column that is not grouped": "SELECT dataset, slot, COUNT(*) AS n FROM ops.loads GROUP BY dataset",
    "DATE_TRUNC with its arguments exchanged": "SELECT DATE_TRUNC('month', DATE '2024-01-01') AS x",
    "DATE_DIFF with the part in front": "SELECT DATE_DIFF('day', DATE '2024-01-01', DATE '2024-01-02') AS x",
    "INTERVAL in quotes": "SELECT DATE '2024-01-01' + INTERVAL '1 day' AS x",
    "a cast with ::": "SELECT rows_in::STRING AS x FROM ops.loads",
    "FLOAT64 into an INT64 column": "CREATE OR REPLACE TABLE reports.x (n INT64 OPTIONS (description = 'a')) AS SELECT rows_in / 2 AS n FROM ops.loads",
    "STRING into a DATE column": "INSERT INTO lake.wifi_hours (slot_start, local_day, local_hour, sessions, sessions_counted, milliseconds) SELECT slot, slot, 1, 1, 1, 1 FROM ops.loads",
    "INSERT of more values than columns": "INSERT INTO ops.lock (system, holder) SELECT 'a', 'b', 'c'",
    "ASSERT of a number": "ASSERT (SELECT COUNT(*) FROM ops.loads) AS 'x'",
    "a window function in WHERE": "SELECT slot AS x FROM ops.loads WHERE ROW_NUMBER() OVER (ORDER BY slot) = 1",
    "ORDER BY in an aggregate that takes none": "SELECT MAX(slot ORDER BY slot) AS x FROM ops.loads",
    "COUNT(DISTINCT) OVER with ORDER BY": "SELECT COUNT(DISTINCT slot) OVER (ORDER BY slot) AS x FROM ops.loads",
    "STRING_AGG(DISTINCT) ordered by another column": "SELECT STRING_AGG(DISTINCT slot ORDER BY dataset) AS x FROM ops.loads",
    "GROUP BY of one column with *": "SELECT * FROM ops.loads GROUP BY dataset",
    "a named window with two frames": "SELECT LAST_VALUE(slot) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS x FROM ops.loads WINDOW w AS (ORDER BY slot ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
    "LAG with a frame": "SELECT LAG(slot) OVER (ORDER BY slot ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS x FROM ops.loads",
    "a JSON path that is no constant": "SELECT JSON_VALUE(rejects, CONCAT('$.', slot)) AS x FROM ops.loads",
    "TIMESTAMP - INT64": "SELECT loaded_at - 5 AS x FROM ops.loads",
    "TIMESTAMP_SUB of a month": "SELECT TIMESTAMP_SUB(loaded_at, INTERVAL 1 MONTH) AS x FROM ops.loads",
    "IF of an INT64": "SELECT IF(rows_in, 1, 2) AS x FROM ops.loads",
    "ORDER BY of a place beyond the last": "SELECT slot AS x FROM ops.loads ORDER BY 2",
    "a table with two columns of one name": "CREATE TEMP TABLE t AS SELECT slot, slot FROM ops.loads",
    "a column of a subquery that is there twice": "SELECT slot FROM (SELECT slot, dataset AS slot FROM ops.loads)",
    "LEFT JOIN without an equality": "SELECT a.slot FROM ops.loads AS a LEFT JOIN ops.lock AS b ON a.slot < b.system",
    "EXCEPT without DISTINCT": "SELECT slot FROM ops.loads EXCEPT SELECT system FROM ops.lock",
    "UNION without ALL": "SELECT slot FROM ops.loads UNION SELECT system FROM ops.lock",
    "UPDATE without WHERE": "UPDATE ops.lock SET holder = 'x'",
    "DELETE without WHERE": "DELETE FROM ops.lock",
}  # fmt: skip
"""BigQuery refuses them; the stand-in lets about half of them pass."""

UNDETECTED_FAULTS = {
    "a column's name in double quotes": (
        'SELECT "slot" = slot AS x FROM ops.loads',
        "valid: in GoogleSQL it is a text",
    ),
    "a lookbehind in a pattern": (
        "SELECT REGEXP_CONTAINS(slot, r'(?<=a)b') AS x FROM ops.loads",
        "patterns are compiled when the query runs",
    ),
    "two groups in REGEXP_EXTRACT_ALL": (
        "SELECT REGEXP_EXTRACT_ALL(slot, r'(a)(b)') AS x FROM ops.loads",
        "patterns are compiled when the query runs",
    ),
}
"""Faults that no analyser sees, each with the reason."""

BEYOND_ANALYSIS = {
    "a correlated subquery": "SELECT (SELECT COUNT(*) FROM ops.lock AS l WHERE l.system = o.system) AS x FROM ops.loads AS o",
    "a table's name read as its row": "SELECT TO_JSON_STRING(shown) AS x FROM (SELECT run AS shown FROM ops.shown) AS shown",
    "a table's name read as its row next to the type STRUCT": "SELECT CAST(NULL AS STRUCT<a INT64>) AS s, TO_JSON_STRING(shown) AS x FROM (SELECT run AS shown FROM ops.shown) AS shown",
    "a table's name read as its row next to an array of STRUCTs": "SELECT ARRAY<STRUCT<a INT64, b ARRAY<STRING>>>[] AS s, TO_JSON_STRING(shown) AS x FROM (SELECT run AS shown FROM ops.shown) AS shown",
    "a permanent table made in a transaction": "BEGIN TRANSACTION; CREATE OR REPLACE TABLE reports.x AS SELECT 1 AS n; COMMIT TRANSACTION",
    "SET of another type": "DECLARE n STRING; SET n = (SELECT MAX(rows_in) FROM ops.loads)",
    "IF of a number": "IF @@row_count THEN SELECT 1; END IF",
    "a variable that is not declared": "SET n = 1",
    "a temporary table before it is made": "SELECT * FROM fresh; CREATE TEMP TABLE fresh AS SELECT 1 AS n",
}  # fmt: skip
"""Faults that `checks.py` and `scripts.py` add to the analyser's."""
