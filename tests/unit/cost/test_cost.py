"""What a month costs: worked by hand, and what must hold of any workload."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from catalog.contract import load_all
from cost import formula, prices, statements, table, workload
from cost.__main__ import BEGIN, END, PAGE, ROOT, quoted
from cost.statements import LEAST, CostedStatement
from cost.workload import Feed, System
from infra_pulumi.spark import PROPERTIES
from tests.support.predicates import parsed

LISTED = prices.load()
ASSUMED = LISTED.assumed
FILES = sorted((ROOT / "bq_sql").rglob("*.sql"))
GATE = """\
DECLARE known STRING;
SET known = (SELECT versions FROM ops.loads WHERE system = 'x; FROM lake.no');
IF known IS NULL THEN
  RETURN;
END IF;
"""
REST = """\
CREATE TEMP TABLE ledger AS SELECT * FROM ops.loads; -- FROM lake.no
CREATE TEMP TABLE days AS
WITH kept AS (SELECT EXTRACT(YEAR FROM k.day) AS y FROM `lake.toys` AS k WHERE k.slot_start > '2020')
SELECT * FROM kept CROSS JOIN ledger CROSS JOIN UNNEST([1]) AS n;
ASSERT NOT EXISTS (SELECT 1 FROM days) AS 'from days';
CREATE OR REPLACE TABLE reports.days AS SELECT * FROM days;
EXCEPTION WHEN ERROR THEN
  INSERT INTO ops.failed SELECT * FROM ops.runs;
  RAISE;
END;
"""


def toy(fetches: float = 30, size: float = 6_000_000, *, whole: bool = False) -> System:
    """A system with one daily feed, a table and its rejects, and two reports."""
    feed = Feed("toys", "lake.toys", ("lake.toys_rejects",), fetches, size, 1, fetches, whole)
    swap = statements.script("DELETE FROM lake.toys WHERE TRUE; UPDATE ops.lock SET a = 1;")
    return System("toy", (feed,), statements.script(GATE + REST), swap, 1440, 2)


def usd(system: System, share: float | None) -> float:
    """What a system costs before anything is free."""
    used = formula.of_system(system, ASSUMED, share)
    return sum(price.of(used[key]) for key, price in LISTED.price.items())


def test_the_tables_that_a_script_reads() -> None:
    read = statements.script(GATE + REST)
    assert read.gate == (CostedStatement(frozenset({"ops.loads"})),)
    assert read.rest == (
        CostedStatement(frozenset({"ops.loads"}), "ledger"),
        CostedStatement(frozenset({"lake.toys", "ledger"}), "days"),
        CostedStatement(frozenset({"days"})),
        CostedStatement(frozenset({"days"})),
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_the_same_tables_are_found_by_a_parser(path: Path) -> None:
    sql = path.read_text(encoding="utf-8")
    made = {file.stem for file in FILES if file.parent.name == "tables"} | {"ledger"}
    temporary = "".join(f"CREATE TEMP TABLE {name} AS SELECT 1;" for name in sorted(made))
    told = [s.tables for s in statements.script(temporary + sql).rest if s.tables]
    ctes = [{cte.alias for cte in each.find_all(exp.CTE)} for each in parsed(sql)]
    tables = [
        frozenset(
            f"{t.db}.{t.name}" if t.db else t.name
            for t in each.find_all(exp.Table)
            if t.db or t.name not in named
        )
        for each, named in zip(parsed(sql), ctes, strict=True)
    ]
    assert told == [each for each in tables if each]


def test_each_table_of_a_statement_is_billed_ten_megabytes_at_least() -> None:
    both = CostedStatement(frozenset({"lake.a", "ops.loads"}))
    assert statements.billed(both, {}) == 2 * 10_485_760
    assert statements.billed(both, {"lake.a": 100e6}) == 100e6 + 10_485_760
    assert statements.billed(both, {"lake.a": 100e6}, share=0.5) == 50e6 + 10_485_760


@pytest.mark.parametrize(
    ("seconds", "dcu", "dollars"),
    [
        (3600, 12 * 3600, 0.72 + 750 * 0.04 / 720),  # Google's own example: 12 DCU
        (100, 1200, 0.02 + 750 * 0.04 / 25_920),
        (60, 720, 0.012 + 750 * 0.04 / 43_200),
        (5, 720, 0.012 + 750 * 0.04 / 43_200),  # a minute at least
        (0, 720, 0.012 + 750 * 0.04 / 43_200),
    ],
)
def test_a_batch_of_the_smallest_size(seconds: float, dcu: float, dollars: float) -> None:
    used = formula.batch(seconds, ASSUMED)
    assert PROPERTIES["spark.executor.instances"] == "2"
    assert used["dcu"] == pytest.approx(dcu)
    assert sum(LISTED.price[k].of(q) for k, q in used.items()) == pytest.approx(dollars)


@pytest.mark.parametrize(
    ("cron", "times"),
    [("3-59/10 * * * *", 4320), ("17 4 * * *", 30), ("17 4 9 * *", 12 * 30 / 365), ("7 * * * *", 720),
     ("0 0 * * *", 30), ("0 0 1 1 *", 30 / 365), ("30 6,18 * * 1-5", 2 * 261 * 30 / 365)],
)  # fmt: skip
def test_how_often_a_schedule_fires_in_thirty_days(cron: str, times: float) -> None:
    assert workload.ticks(cron) == pytest.approx(times, rel=1e-3)


def test_an_idle_month_by_hand() -> None:
    used = formula.of_system(toy(), ASSUMED, None)
    # 4,320 sweeps read the ledger, 1,440 scheduled queries the one table of their gate.
    assert used["query"] == (4320 + 1440) * LEAST
    assert used["calls"] == 4320 + 30
    assert used["processor"] == pytest.approx((4320 + 30) * 2 * 0.333)
    assert used["memory"] == (4320 + 30) * 2 * 0.5
    assert used["class_a"] == 4320 * (5 + 2) + 4320 * 1 + 30
    assert used["messages"] == (4320 + 30) * 4 * 1000
    assert used["jobs"] == 2
    assert used["dcu"] == used["objects"] == used["warehouse"] == 0


def test_a_running_month_by_hand() -> None:
    used = formula.of_system(toy(), ASSUMED, 1.0)
    idle = formula.of_system(toy(), ASSUMED, None)
    # A day brings 6 MB; after 360 days the lake has 2.16 GB, its rejects a twentieth.
    lake = 360 * 6_000_000
    # Once a day: the ledger twice, a swap of two statements, five tables of the reports' rest.
    day = 2 * LEAST + (lake + LEAST) + (LEAST + lake + LEAST + LEAST + LEAST)
    assert used["query"] - idle["query"] == pytest.approx(30 * day)
    assert used["dcu"] == pytest.approx(30 * 12 * (60 + 6 / 20))
    assert used["calls"] - idle["calls"] == 3 * 30
    # Four of the fetch itself; a part and a marker; nine, or thirteen, for a file of two tables.
    assert used["class_a"] - idle["class_a"] == 30 * (4 + 2 + 2 * 9)
    assert used["class_b"] - idle["class_b"] == 30 * (4 + 2 + 2 * 13)
    assert used["warehouse"] == pytest.approx(lake * 1.05)
    assert used["objects"] == pytest.approx(180e6 * 1.15 * 12 + 180e6)


def test_nothing_that_comes_still_pays_what_is_billed_at_least() -> None:
    empty, idle = toy(size=0), formula.of_system(toy(size=0), ASSUMED, None)
    used = formula.of_system(empty, ASSUMED, 1.0)
    assert used["dcu"] == 30 * 12 * 60
    assert used["query"] - idle["query"] == 30 * (2 + 2 + 5) * LEAST
    assert used["objects"] == used["warehouse"] == 0


def test_what_is_shown_at_once_is_paid_for_by_the_fetch() -> None:
    """The lock's row twice and read once, the table's rows deleted: 40 MiB a fetch."""
    stations = workload.feed(load_all()["velib_stations"])
    assert [sorted(each.tables) for each in stations.latest] == [
        ["ops.shown"], ["ops.shown"], ["reports.velib_now"], ["ops.shown"],
    ]  # fmt: skip
    with_it, without = (
        formula.of_system(replace(toy(), feeds=(feed,)), ASSUMED, 1.0)
        for feed in (stations, replace(stations, latest=()))
    )
    assert with_it["query"] - without["query"] == stations.fetches * 4 * LEAST
    assert with_it["calls"] - without["calls"] == stations.fetches


FETCHES = st.floats(0, 9000)
SHARES = st.floats(0, 1)
SIZES = st.floats(0, 1e9)


@given(fetches=FETCHES, more=FETCHES, size=SIZES, share=SHARES, whole=st.booleans())
def test_more_runs_never_cost_less(
    fetches: float, more: float, size: float, share: float, whole: bool
) -> None:
    few, many = toy(fetches, size, whole=whole), toy(fetches + more, size, whole=whole)
    assert usd(few, None) <= usd(many, None) * (1 + 1e-9)
    assert usd(few, share) <= usd(many, share) * (1 + 1e-9)


@given(fetches=FETCHES, size=SIZES, share=SHARES, less=SHARES)
def test_idle_is_never_more_than_running_nor_less_volume_dearer(
    fetches: float, size: float, share: float, less: float
) -> None:
    system = toy(fetches, size)
    assert usd(system, None) <= usd(system, share * less) <= usd(system, share) * (1 + 1e-9)


def test_every_system_of_the_catalog_is_reckoned_and_told() -> None:
    stack = workload.read_stack(ROOT)
    told = table.table(stack, LISTED)
    feeds = {feed.dataset for system in stack.systems for feed in system.feeds}
    assert feeds == {name for name, contract in load_all().items() if not contract.retired}
    assert all(f"| **{system.name}** |" in told for system in stack.systems)
    assert all(len(system.script.rest) > len(system.script.gate) for system in stack.systems)


def test_what_is_not_confirmed_is_shown_so() -> None:
    told = table.table(workload.Stack((toy(),), 3), LISTED)
    doubtful = [price.title for price in LISTED.price.values() if not price.confirmed]
    assert len(doubtful) > 2
    for title in doubtful:
        assert f"| {title} |" not in told
        assert f"| {title} (?) |" in told
    assert "| Spark, DCU |" in told
    assert all(price.source.startswith("https://") for price in LISTED.price.values())


def test_what_is_free_is_taken_off_once() -> None:
    stack = workload.Stack((toy(), replace(toy(), name="other")), 0)
    told = table.table(stack, LISTED).splitlines()
    before, after = (line for line in told if line.startswith("| **together**"))
    jobs = [line for line in told if "Scheduler jobs" in line and "`" in line]
    assert [line.split("|")[3].strip() for line in jobs] == ["0.20", "0.20", "0.10"]
    assert float(before.split("|")[3]) - float(after.split("|")[3]) > 0.3


def test_the_page_quotes_what_is_printed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    told = table.table(workload.read_stack(ROOT), LISTED)
    same = quoted(page, told) == page
    assert same, "docs/deploy.md: renew it with `nox -s cost -- --write`"
    with pytest.raises(ValueError, match="put them where"):
        quoted(f"no marks {BEGIN}", END)


def test_prices_with_an_unknown_key_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('region = "x"\nrate = 1\n')
    with pytest.raises(prices.PriceError, match=r"prices\.toml.*rate"):
        prices.load(path)
