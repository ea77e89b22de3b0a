"""Grants that are needed only when something goes wrong: each is seen used, and enough."""

from __future__ import annotations

import json

import pytest

from catalog import object_names
from tests.support.house import APRIL, APRIL_CHANGED, SLOTS, USAGE, House, export
from tests.support.idle_grants import WHEN_LOST, WHEN_REFUSED, outdated, unexplained

TOPICS = ("ingest", "split", "show", "seal", "submit", "load")


def used(house: House) -> set[str]:
    """The names of the grants by which a call was let through so far."""
    return {grant.name for grant, asked in house.cloud.authority.used().items() if asked}


@pytest.mark.timeout(900)
def test_the_sweep_may_send_again_what_is_lost_and_needs_every_grant(house: House) -> None:
    bodies = (APRIL, APRIL_CHANGED, APRIL)
    for lost, body in zip(("runs/", "manifests/", "receipts/"), bodies, strict=True):
        with house.losing(lost):
            house.fetch(export(body))
        house.sweep()
        house.sweep()
    assert SLOTS[0] in house.ledger()
    marker = object_names.replay_marker(USAGE, SLOTS[0], 1)
    house.cloud.bucket("landing").blob(marker).upload_from_string(b"")
    house.sweep()
    assert WHEN_LOST - used(house) == set()
    assert house.cloud.authority.refused() == []


@pytest.mark.timeout(900)
def test_every_step_may_keep_what_it_refuses(house: House) -> None:
    told = {"bucketId": "x", "objectId": "no/such", "objectGeneration": "1", "kind": "full_export"}
    body = json.dumps({"system": "nowhere", "dataset": "nowhere"}).encode()
    for topic in TOPICS:
        for _ in range(2):  # the second finds the object of the first, and reads it
            house.cloud.pubsub.publish(topic, body, told)
    house.cloud.settle()
    assert WHEN_REFUSED - used(house) == set()
    assert house.cloud.authority.refused() == []


def test_an_idle_grant_that_no_list_has_is_told() -> None:
    assert unexplained(["fn-load-raw", "builds", *WHEN_LOST]) == {"fn-load-raw"}
    assert unexplained(["agent-acknowledges-split"]) == set()


def test_a_list_s_entry_that_is_used_after_all_is_told() -> None:
    assert "builds" in outdated(["fn-sweep-lake"])
    assert "fn-sweep-lake" not in outdated(["fn-sweep-lake"])
