"""`serve` in the local cloud: what a reader is told of ages follows the virtual clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from functions.core.clients import Clients
from functions.core.settings import Settings
from functions.serve.app import App
from local_cloud.clock import VirtualClock
from local_cloud.functions_runtime import serve

START = datetime(2024, 9, 9, 3, 26, tzinfo=UTC)
SETTINGS = Settings(
    project="demo", region="europe-west1", raw="raw", landing="landing", lake="lake", quarantine="q"
)


def test_answers_and_pages_have_the_time_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(App.__init__, "__kwdefaults__", dict(App.__init__.__kwdefaults__ or {}))
    file, clock = tmp_path / "clock", VirtualClock(START)
    serve.write_time(file, clock.now())
    clock.subscribe(lambda moment: serve.write_time(file, moment))
    serve.follow(file)
    app = App(Clients(SETTINGS))
    assert app.store.now() == app._site._pages._source.now() == START
    clock.advance_to(START + timedelta(days=3))
    assert app.store.now() == app._site._pages._source.now() == START + timedelta(days=3)


def test_an_app_of_another_form_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(App.__init__, "__kwdefaults__", {})
    with pytest.raises(
        RuntimeError, match=r"no option `now`: correct local_cloud/functions_runtime/serve\.py"
    ):
        serve.follow(tmp_path / "clock")
