"""The messages that subscriptions have yet to deliver: due, leased or backing off.

The kinds of consumer (push, BigQuery, files) lease messages here and settle each lease.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from local_cloud.pubsub.filter import Filter
from local_cloud.pubsub.specs import (
    DeliveryAttempt,
    Outcome,
    ReceivedMessage,
    SubscriptionSpec,
    short_name,
)

if TYPE_CHECKING:
    from local_cloud.clock import VirtualClock

type DeadLetter = Callable[[Subscription, Pending, str], bool]
"""Publishes a message that failed, and why, as a dead letter; False when it is to be retried."""


@dataclass(frozen=True)
class DeliveryTuning:
    """How fast and in which order messages are delivered, within what Pub/Sub promises."""

    backoff_scale: float = 0.1
    """Factor of every back-off: with 0.1, ten seconds become one."""
    reorder: random.Random | None = None
    """Takes the due messages in the order that it draws; None delivers the longest due first."""
    duplicate: float = 0.0
    """Share of the deliveries that happen twice."""


class Backlog:
    """The state of all subscriptions, by full name, and the record of their delivery attempts.

    `lock` guards everything; hold it while reading `subscriptions` or a `Subscription`. `push_ready`
    signals messages to push, a subscription's `ready` its own messages, `changed` anything settled.
    """

    def __init__(
        self, clock: VirtualClock, dead_letter: DeadLetter, tuning: DeliveryTuning
    ) -> None:
        # The conditions share the lock so that each kind of waiter is woken by what concerns it.
        self.lock = threading.RLock()
        self.push_ready = threading.Condition(self.lock)
        self.changed = threading.Condition(self.lock)
        self.subscriptions: dict[str, Subscription] = {}
        self.running = False
        self._clock = clock
        self._dead_letter = dead_letter
        self.tuning = tuning
        self._random = random.Random(0)  # noqa: S311 - it guards nothing
        self._deliveries: deque[DeliveryAttempt] = deque(maxlen=100_000)

    def close(self) -> None:
        """End all waiting for messages; what is settled from now on is not recorded."""
        with self.lock:
            self.running = False
            for condition in (self.push_ready, self.changed):
                condition.notify_all()
            for subscription in self.subscriptions.values():
                subscription.ready.notify_all()

    def add(
        self, spec: SubscriptionSpec, matches: Filter, columns: tuple[tuple[str, str, str], ...]
    ) -> Subscription:
        """Open a subscription that holds nothing yet; `columns` are its BigQuery table's."""
        with self.lock:
            added = Subscription(spec, matches, threading.Condition(self.lock), columns)
            self.subscriptions[spec.name] = added
            return added

    def enqueue(self, subscription: Subscription, messages: Iterable[ReceivedMessage]) -> None:
        """Owe `subscription` those of the messages that its filter takes, from now on."""
        with self.lock:
            for message in messages:
                if subscription.matches(message.attributes):
                    self._wake(subscription, Pending(time.monotonic(), message))

    def take_any(
        self, subscriptions: Iterable[Subscription]
    ) -> tuple[Subscription, Pending] | None:
        """Lease the longest due message of the subscriptions with room; None if none is due.

        With `reorder` it is a random one. Hold `lock`.
        """
        now = time.monotonic()
        ready = [s for s in subscriptions if s.is_ready(now)]
        while ready:
            if reorder := self.tuning.reorder:
                subscription = reorder.choice(ready)
            else:
                subscription = min(ready, key=lambda s: s.waiting[0])
            pending = self._take(subscription, now)
            if pending is not None:
                return subscription, pending
            ready = [s for s in ready if s.is_ready(now)]
        return None

    def take_due(self, subscription: Subscription, most: int) -> list[Pending]:
        """Lease up to `most` due messages of one subscription. Hold `lock`."""
        leased: list[Pending] = []
        while len(leased) < most and subscription.is_due(now := time.monotonic()):
            pending = self._take(subscription, now)
            leased += [pending] if pending else []
        return leased

    def settle(
        self,
        subscription: Subscription,
        pending: Pending,
        status: int | None,
        error: str,
        seconds: float,
    ) -> None:
        """End one attempt: acked when `error` is empty, else to the back-off or the dead letters.

        Do not hold `lock`: a dead letter runs its topic's callbacks.
        """
        outcome: Outcome = "retried" if error else "acked"
        if error and self._dead_letter(subscription, pending, error):
            outcome = "dead-lettered"
        with self.lock:
            if subscription.leased.pop(pending.lease, None) is None or not self.running:
                return
            self._record(subscription, pending, outcome, status, error, seconds)
            if outcome == "retried":
                wait = backoff(subscription.spec, pending.attempt, self.tuning.backoff_scale)
                pending.due = time.monotonic() + wait
                self._wake(subscription, pending)
            self.changed.notify_all()

    def held(self) -> int:
        """Count what push and BigQuery consumers have neither acked nor dead-lettered.

        What gathers for a file waits for the clock, not for anybody at work.
        """
        with self.lock:
            return sum(s.held() for s in self.subscriptions.values() if not s.patient)

    def deliveries(self) -> list[DeliveryAttempt]:
        """Give the record of all attempts, oldest first (the last 100,000 of them)."""
        with self.lock:
            return list(self._deliveries)

    def describe(self) -> list[str]:
        """Say what push and BigQuery subscriptions hold, each with its last error."""
        with self.lock:
            holding = [s for s in self.subscriptions.values() if s.held() and not s.patient]
            return [
                f"{short_name(s.spec.name)}: {len(s.waiting)} waiting, {len(s.leased)} in flight"
                + self._last_error(short_name(s.spec.name))
                for s in holding
            ]

    def _last_error(self, name: str) -> str:
        errors = (d.error for d in reversed(self._deliveries) if d.subscription == name and d.error)
        return next((f", last error {error}" for error in errors), "")

    def _wake(self, subscription: Subscription, pending: Pending) -> None:
        heapq.heappush(subscription.waiting, pending)
        (self.push_ready if subscription.spec.push_endpoint else subscription.ready).notify()

    def _take(self, subscription: Subscription, now: float) -> Pending | None:
        """Lease one due message; None when the one taken was past the retention and is dropped."""
        pending = self._pop(subscription, now)
        age = (self._clock.now() - pending.message.publish_time).total_seconds()
        if age > subscription.spec.retention_seconds:
            text = (
                f"expired: {age:.0f} s old, retention {subscription.spec.retention_seconds:.0f} s"
            )
            self._record(subscription, pending, "expired", None, text, 0.0)
            self.changed.notify_all()
            return None
        if not pending.copy and self._comes_twice():
            self._wake(subscription, Pending(now, pending.message, copy=True))
        pending.attempt += 1
        subscription.leased[pending.lease] = pending
        return pending

    def _comes_twice(self) -> bool:
        share, draw = self.tuning.duplicate, self.tuning.reorder or self._random
        return bool(share) and draw.random() < share

    def _pop(self, subscription: Subscription, now: float) -> Pending:
        reorder = self.tuning.reorder
        if reorder is None:
            return heapq.heappop(subscription.waiting)
        due = [n for n, pending in enumerate(subscription.waiting) if pending.due <= now]
        pending = subscription.waiting.pop(reorder.choice(due))
        heapq.heapify(subscription.waiting)
        return pending

    def _record(
        self,
        subscription: Subscription,
        pending: Pending,
        outcome: Outcome,
        status: int | None,
        error: str,
        seconds: float,
    ) -> None:
        name, message_id = short_name(subscription.spec.name), pending.message.message_id
        self._deliveries.append(
            DeliveryAttempt(name, message_id, pending.attempt, outcome, status, error, seconds)
        )


@dataclass(order=True)
class Pending:
    """A message one subscription still owes; `due` is its next attempt or its lease's end."""

    due: float
    message: ReceivedMessage = field(compare=False)
    attempt: int = field(default=0, compare=False)
    copy: bool = field(default=False, compare=False)
    lease: int = field(default_factory=count(1).__next__)


@dataclass(eq=False)
class Subscription:
    """One subscription's messages: `waiting` is a heap by due time, `leased` is by lease."""

    spec: SubscriptionSpec
    matches: Filter
    ready: threading.Condition
    columns: tuple[tuple[str, str, str], ...]
    waiting: list[Pending] = field(default_factory=list)
    leased: dict[int, Pending] = field(default_factory=dict)

    @property
    def patient(self) -> bool:
        """Whether messages may wait with nobody at work on them: for the clock, or for ever."""
        return not (self.spec.push_endpoint or self.spec.bigquery_table)

    def held(self) -> int:
        """Count what is neither acknowledged nor given up."""
        return len(self.waiting) + len(self.leased)

    def has_room(self) -> bool:
        """Whether one more delivery may be in flight."""
        return len(self.leased) < self.spec.max_outstanding

    def is_due(self, now: float) -> bool:
        """Whether a message is due at `now`, a reading of the monotonic clock."""
        return bool(self.waiting) and self.waiting[0].due <= now

    def is_ready(self, now: float) -> bool:
        """Whether a message is due at `now` and may be put in flight."""
        return self.is_due(now) and self.has_room()


def backoff(spec: SubscriptionSpec, attempt: int, scale: float) -> float:
    """Give the seconds until the attempt after `attempt` (from 1): doubling, bounded, scaled."""
    doublings = min(attempt - 1, 20)
    return min(spec.min_backoff * 2.0**doublings, spec.max_backoff) * scale


def dead_letter(
    spec: SubscriptionSpec, pending: Pending, error: str
) -> tuple[bytes, dict[str, str]]:
    """Give the (data, attributes) of the dead letter that a message becomes."""
    message = pending.message
    attributes = dict(message.attributes) | {
        "CloudPubSubDeadLetterSourceDeliveryCount": str(pending.attempt),
        "CloudPubSubDeadLetterSourceSubscription": short_name(spec.name),
        "CloudPubSubDeadLetterSourceSubscriptionProject": spec.name.split("/")[1],
        "CloudPubSubDeadLetterSourceTopicPublishTime": message.publish_time.isoformat(
            timespec="milliseconds"
        ),
    }
    if spec.bigquery_table:
        attributes["CloudPubSubDeadLetterSourceDeliveryErrorMessage"] = error[:1000]
    return message.data, attributes
