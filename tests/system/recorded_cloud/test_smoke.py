"""`nox -s smoke` on the local cloud in a real project's place: form only, no service of Google's."""

from __future__ import annotations

import json

import pytest

from catalog.contract import load_all
from functions.core.clients import Clients
from local_cloud.cloud import PROJECT, REGION
from local_cloud.functions_runtime.in_process import AccountClients
from local_cloud.iam.grants import Grant
from local_cloud.publishers import Answer
from smoke import outputs
from smoke.__main__ import look
from smoke.chain import SmokeError, Waiting, follow
from smoke.services import CHECKS, FOLDER
from tests.support.house import APRIL, MAY, SLOTS, USAGE, House, export

pytestmark = pytest.mark.timeout(900)

CONTRACT = load_all()[USAGE]


OPERATOR = f"operator@{PROJECT}.iam.gserviceaccount.com"
ROLES = (
    "roles/bigquery.dataViewer",
    "roles/bigquery.jobUser",
    "roles/dataproc.viewer",
    "roles/pubsub.publisher",
    "roles/storage.objectUser",
)
"""What docs/deploy.md asks of whoever runs it, on the project."""


@pytest.fixture
def clients(house: House) -> Clients:
    """Clients of an operator, by the outputs that the stack of the local cloud would give out."""
    cloud = house.cloud
    for role in ROLES:
        cloud.authority.add(Grant(f"operator-{role}", OPERATOR, role, on=""))
    told = json.dumps({"project": PROJECT, "region": REGION, "lake": {}})
    settings = outputs.decoded("demo", told).settings()
    return AccountClients(settings, OPERATOR, cloud.gate.url, cloud.publish_refusal)


@pytest.fixture
def waiting(house: House) -> Waiting:
    """Instead of seconds, what goes on in the cloud passes: messages, then the scheduled queries."""

    def pause(_: float) -> None:
        house.cloud.settle()
        house.query()

    ticks = iter(range(100))
    return Waiting(pause, seconds=5, clock=lambda: float(next(ticks)))


def test_a_fetch_is_followed_to_its_reports_and_the_services_hold(
    house: House, clients: Clients, waiting: Waiting
) -> None:
    house.serve(export(APRIL, MAY))
    lines = list(look(clients, CONTRACT, waiting, house.later(minutes=1)))
    assert lines[: len(CHECKS)] == [f"held     {check.__name__}" for check in CHECKS]
    words = [line.split() for line in lines[len(CHECKS) :]]
    assert [each[0] for each in words] == ["ingest", "download", "split", "ledger", "reports"]
    assert words[1][1] == words[2][1] == "accepted"
    assert words[3][1] == str(len(SLOTS))
    assert words[4][1] == "published,"
    assert house.objects("quarantine", FOLDER) == []
    fetched = list(follow(clients, CONTRACT, waiting, house.later(minutes=5)))
    assert fetched == lines[len(CHECKS) :], "the tick's run is there already"
    again = [line.split() for line in follow(clients, CONTRACT, waiting, house.later(days=1))]
    assert again[1] == ["download", "unchanged", "data.gouv"]
    assert [each[0] for each in again] == ["ingest", "download", "ledger", "reports"]
    house.serve(Answer(b"<html><title>Maintenance</title></html>"))
    with pytest.raises(SmokeError, match=r"was refused: .*Maintenance"):
        list(follow(clients, CONTRACT, waiting, house.later(days=1)))


def test_what_does_not_come_is_named(house: House, clients: Clients, waiting: Waiting) -> None:
    house.serve(export(APRIL))
    with (
        house.losing("runs/"),
        pytest.raises(SmokeError, match=r"the split of \d{8}T\d{6}Z did not come in 5 s"),
    ):
        list(follow(clients, CONTRACT, waiting, house.later(minutes=1)))
