"""Points against the box of a contract: each is kept, exchanged or emptied, and counted once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from catalog.contract import DATASETS, Contract, GeoPoint, load
from functions.validation.repairs import Columns, Repairs
from tests.support.split_cloud import changed

VELIB = load(DATASETS / "velib_stations.toml")
[BOX] = VELIB.geo_points
SOUTH, NORTH, WEST, EAST = BOX.south, BOX.north, BOX.west, BOX.east
MIDDLE = ((SOUTH + NORTH) / 2, (WEST + EAST) / 2)
STEP = 1e-9
"""The distance of a point that lies just outside, in degrees."""

EXCHANGED, OUTSIDE = "lat, lon: exchanged", "lat, lon: outside the box"
EDGES = [(SOUTH, MIDDLE[1]), (NORTH, MIDDLE[1]), (MIDDLE[0], WEST), (MIDDLE[0], EAST)]
VERTICES = [(SOUTH, WEST), (SOUTH, EAST), (NORTH, WEST), (NORTH, EAST)]
BORDER = EDGES + VERTICES
BEYOND = [
    (SOUTH - STEP, MIDDLE[1]), (NORTH + STEP, MIDDLE[1]),
    (MIDDLE[0], WEST - STEP), (MIDDLE[0], EAST + STEP),
]  # fmt: skip
SQUARE = GeoPoint(latitude="lat", longitude="lon", south=0.0, north=10.0, west=5.0, east=15.0)
"""A box that holds some points in either order of their coordinates."""

Point = tuple[float, float]


def repaired(*points: Point, contract: Contract = VELIB) -> tuple[list[Point | None], Counter[str]]:
    """Repair points; each as it is then, None where it is emptied, and how many were changed."""
    columns: Columns = [[None] * len(points) for _ in contract.columns]
    names = [column.name for column in contract.columns]
    north, east = names.index("lat"), names.index("lon")
    columns[north] = [repr(point[0]) for point in points]
    columns[east] = [repr(point[1]) for point in points]
    done, counts = Repairs(contract).apply(columns)
    pairs = zip(done[north], done[east], strict=True)
    return [(float(lat), float(lon)) if lat and lon else None for lat, lon in pairs], counts


def test_the_border_stays() -> None:
    assert repaired(*BORDER) == (BORDER, Counter())


def test_points_just_beyond_the_border_are_emptied() -> None:
    assert repaired(*BEYOND) == ([None] * len(BEYOND), Counter({OUTSIDE: len(BEYOND)}))


def test_exchanged_points_of_the_border_are_put_right_once() -> None:
    exchanged = [point[::-1] for point in BORDER]
    assert repaired(*exchanged) == (BORDER, Counter({EXCHANGED: len(BORDER)}))


def test_a_point_that_fits_in_either_order_stays() -> None:
    both, one = (7.0, 8.0), (12.0, 3.0)
    found, counts = repaired(both, one, contract=changed(VELIB, geo_points=(SQUARE,)))
    assert (found, counts) == ([both, one[::-1]], Counter({EXCHANGED: 1}))


DEGREES = st.one_of(
    st.sampled_from([SOUTH, NORTH, WEST, EAST, 0.0]),
    st.floats(SOUTH, NORTH), st.floats(WEST, EAST), st.floats(-180.0, 180.0),
)  # fmt: skip


@given(st.lists(st.tuples(DEGREES, DEGREES), min_size=1))
def test_every_point_is_kept_exchanged_or_emptied_once(points: list[Point]) -> None:
    """And a second repair changes nothing."""
    found, counts = repaired(*points)
    ways = Counter(
        OUTSIDE if after is None else EXCHANGED if after != before else "kept"
        for before, after in zip(points, found, strict=True)
    )
    assert counts == Counter({way: n for way, n in ways.items() if way != "kept"})
    assert all(point is None or BOX.holds(*point) for point in found)
    left = [point for point in found if point is not None]
    assert repaired(*left) == (left, Counter())
