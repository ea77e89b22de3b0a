"""Processes that can die: every delivery of a message is worked on under an account of its own.

A process that was made to crash is dead: whatever it, or one of its threads, asks for afterwards is
refused, so that no clean-up of an error's way out is mistaken for what a killed process does.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Self
from unittest.mock import patch

import grpc
from cloudevents.http import CloudEvent

from functions.core import handler
from functions.core.clients import Clients
from functions.core.settings import settings
from infra_pulumi.accounts import function_account
from local_cloud.cloud import LocalCloud
from local_cloud.functions_runtime import in_process
from local_cloud.functions_runtime.in_process import AccountClients
from local_cloud.gateway.proxy import Call, Intervention, Phase
from local_cloud.pubsub.service import PublishRequestInfo, RefusedError
from local_cloud.storage.server import EVENTS_TOPIC
from tests.support.crash_list import BATCH, NOTIFIER, QUERY, Crash, Point, read_points
from tests.support.house import APRIL, APRIL_CHANGED, MAY, SLOTS, House, export, masked
from tests.support.recording import Recording

_ACCOUNTS = {"spark-batch": BATCH, "sql-paris-wifi": QUERY}

EXPORTS = (export(APRIL, MAY), export(APRIL_CHANGED, MAY))
"""Exports whose batches are recorded. The batch of a later one has only the slots that changed."""

MAX_SWEEPS = 4

_STATEMENT = re.compile(rb'"query"\s*:\s*"\s*(\w+)')


class DiedError(RuntimeError):
    """The process was made to crash here."""


class Witness:
    """Sees every request that changes something and may let the process behind it die there.

    A context manager: the cloud is as before when it exits.
    `lose_replies` answers every such request of a step with a 503 once its effect has happened, the
    first time: clients try those again by themselves, or the message comes again.
    """

    def __init__(self, cloud: LocalCloud) -> None:
        self.seen: list[Point] = []
        self.left: set[Crash] = set()
        self.lost: set[Point] = set()
        self.lose_replies = False
        self._cloud = cloud
        self.may_publish = cloud.publish_refusal
        self._dead: set[str] = set()
        self._numbers: dict[str, Counter[tuple[str, str, str]]] = {}
        self._points_by_thread: dict[int, Point] = {}
        self._lock = threading.Lock()
        self._patches = ExitStack()

    def __enter__(self) -> Self:
        cloud, patches = self._cloud, self._patches
        patches.enter_context(patch.object(cloud.gate, "intercept", self._judge))
        patches.enter_context(patch.object(cloud.gate, "grants", self._is_alive))
        patches.enter_context(patch.object(cloud.pubsub, "intercept", self._notified))
        self._work_in_processes()
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def begin(self, *crashes: Crash) -> None:
        """Forget what was seen; from now on a process dies at each of `crashes`, once.

        `left` are those that have not happened yet.
        """
        with self._lock:
            self.seen, self.left, self.lost = [], set(crashes), set()
            self._points_by_thread.clear()
        self.revive()

    def revive(self) -> None:
        """Let the accounts that outlive a process, those of batches and queries, work again."""
        with self._lock:
            self._numbers.clear()
            self._dead.clear()

    def meet(self, point: Point, phase: Phase, account: str) -> bool:
        """Whether the process of `account`, if it is anybody's, dies at this point."""
        with self._lock:
            if (point, phase) not in self.left:
                return False
            self.left.remove((point, phase))
            if account:
                self._dead.add(account)
            return True

    def dead(self, account: str) -> bool:
        """Whether a process has died."""
        return account in self._dead

    def _is_alive(self, call: Call) -> bool:
        return _email(call.account) not in self._dead

    def point(self, account: str, action: str, name: str) -> Point:
        """The next point of this description in a process."""
        with self._lock:
            key = (_who(account), action, masked(name))
            numbers = self._numbers.setdefault(account, Counter())
            numbers[key] += 1
            point = Point(*key, numbers[key])
            self.seen.append(point)
            return point

    def _judge(self, call: Call, phase: Phase) -> Intervention:
        """Decide what the gate does with a call."""
        if _reads(call):
            return Intervention.PASS
        account = _email(call.account)
        if phase is Phase.BEFORE:
            point = self.point(account, f"{call.service} {call.action}", _name(call))
            self._points_by_thread[threading.get_ident()] = point
        else:
            point = self._points_by_thread.pop(threading.get_ident())
        if self.meet(point, phase, account):
            return Intervention.REFUSE
        first = replace(point, number=1)  # a client's own next try is the second
        if self.lose_replies and phase is Phase.AFTER and first not in self.lost:
            self.lost.add(first)
            return Intervention.PASS if point.who in (BATCH, QUERY) else Intervention.UNAVAILABLE
        return Intervention.PASS

    def _notified(self, info: PublishRequestInfo) -> None:
        """A bucket's notification on its way; one that is lost is never sent again."""
        events = [attributes for _, attributes in info.messages if self._wanted(attributes)]
        if info.topic != EVENTS_TOPIC or not events:
            return
        name = " ".join(f"{event['bucketId']}/{event['objectId']}" for event in events)
        if info.phase == "before":
            point = self.point(NOTIFIER, "notify", name)
            self._points_by_thread[threading.get_ident()] = point
        else:
            point = self._points_by_thread.pop(threading.get_ident())
        if self.meet(point, Phase(info.phase), ""):
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "made to be lost")

    def _wanted(self, event: Any) -> bool:
        return bool(self._cloud.router.matching(event))

    def _work_in_processes(self) -> None:
        """Give every delivery a process of its own."""
        numbers = itertools.count(1)
        entry_point = in_process.entry_point
        shared = Clients(settings())
        working = threading.local()

        def start(name: str) -> Callable[[CloudEvent], None]:
            def work(event: CloudEvent) -> None:
                account = f"{name}-{next(numbers)}"
                working.clients = ProcessClients(shared, account, self, self._cloud.gate.url)
                entry_point(name)(event)
                if self.dead(account):
                    raise DiedError(f"{account} acknowledges nothing: it is dead")

            return work

        self._patches.enter_context(patch.object(in_process, "entry_point", start))
        self._patches.enter_context(patch.object(handler, "clients", lambda: working.clients))


class ProcessClients(AccountClients):
    """The clients of one process: of its step's account, with a number of its own."""

    def __init__(self, shared: Clients, account: str, witness: Witness, url: str) -> None:
        step, _, number = account.rpartition("-")
        email = f"{function_account(step)}+{number}@demo.iam.gserviceaccount.com"
        super().__init__(shared.settings, email, url, witness.may_publish)
        self._shared = shared
        self._account = account
        self._witness = witness

    def publish(self, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        if self._witness.dead(self._account):
            raise DiedError(f"{self._account} publishes nothing: it is dead")
        self.require_publishing(topic)
        point = self._witness.point(self._account, f"publish {topic}", _label(data))
        for phase in (Phase.BEFORE, Phase.AFTER):
            if phase is Phase.AFTER:
                self._shared.publish(topic, data, attributes)
            if self._witness.meet(point, phase, self._account):
                raise DiedError(f"{self._account} died at {point}")

    def publish_events(self, events: Sequence[tuple[bytes, dict[str, str]]]) -> list[BaseException]:
        """Publish a step's telemetry, which is one point: the step's work is over by then."""
        if self._witness.dead(self._account):
            raise DiedError(f"{self._account} publishes nothing: it is dead")
        self.require_publishing("events")
        point = self._witness.point(self._account, "publish events", "all")
        for phase in (Phase.BEFORE, Phase.AFTER):
            if self._witness.meet(point, phase, self._account):
                raise DiedError(f"{self._account} died at {point}")
            if phase is Phase.BEFORE:
                failures = self._shared.publish_events(events)
        return failures


def replay(house: House, witness: Witness, *crashes: Crash, reports: bool) -> int:
    """Run an export of two slots through the emptied house; count the sweeps that it took.

    Messages are delivered again by themselves, and what they cannot repair is left to sweeps.
    Without `reports` the run ends with the lake and the ledger.
    """
    house.fresh()
    witness.begin(*crashes)
    house.serve(export(APRIL, MAY))
    house.ingest()
    house.cloud.settle()
    sweeps = 0
    while set(house.ledger()) != set(SLOTS) and sweeps < MAX_SWEEPS:
        witness.revive()
        house.sweep()
        sweeps += 1
    if reports and not house.query():
        witness.revive()
        house.later(minutes=30)
        assert house.query()
    return sweeps


def record_batches(house: House, *, after_death: bool) -> Recording:
    """Run `EXPORTS` one after the other and record the batch of each that ends well.

    With `after_death` the first of them is a second attempt: its first attempt dies when it has
    written nearly all.
    """
    gate = house.cloud.gate
    recordings: list[Recording] = []
    house.fresh()
    with Witness(house.cloud) as witness, patch.object(gate, "record", new=True):
        for body in EXPORTS:
            dies = after_death and not recordings
            witness.begin(*([_late_death()] if dies else []))
            gate.calls.clear()
            house.fetch(body)
            if dies:
                gate.calls.clear()
                witness.revive()
                house.sweep()
            assert not witness.left
            recordings.append(Recording.of_calls(house.cloud, gate.calls))
    return functools.reduce(Recording.add, recordings)


def _late_death() -> Crash:
    """The death of a batch after its last file has its final name, before its receipt."""
    moves = [point for point in read_points() if point.action == "storage objects.rewrite"]
    return moves[-1], Phase.AFTER


def _email(account: str) -> str:
    """The name of an account, without its domain: a step's process is `load-3`."""
    step, plus, number = account.partition("@")[0].partition("+")
    return f"{step.removeprefix(function_account(''))}-{number}" if plus else step


def _who(account: str) -> str:
    """The step, or what else stands behind an account."""
    return _ACCOUNTS.get(account) or account.rpartition("-")[0] or account


def _reads(call: Call) -> bool:
    """Whether a query only reads."""
    found = _STATEMENT.search(call.body_start)
    return found is not None and found[1].upper() == b"SELECT"


def _name(call: Call) -> str:
    """What a call works on; a query is named by how it begins, its job's id being drawn."""
    found = _STATEMENT.search(call.body_start)
    return found[1].decode() if found else call.name


def _label(data: bytes) -> str:
    """What a message says, as far as it is the same each time."""
    body = json.loads(data)
    fields = ("system", "step", "outcome", "dataset", "slot")
    return " ".join(str(body[key]) for key in fields if key in body)
