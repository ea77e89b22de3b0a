"""Pull subscriptions: messages leased by ack id, given back when their ack deadline has passed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from local_cloud.pubsub.backlog import Backlog
from local_cloud.pubsub.specs import ReceivedMessage, Refused


@dataclass(frozen=True)
class Pulled:
    """One leased message; `attempt` counts from 1 and is 0 without a dead-letter topic."""

    ack_id: str
    attempt: int
    message: ReceivedMessage


def pull(backlog: Backlog, path: str, most: int, wait: float) -> list[Pulled]:
    """Lease up to `most` due messages, waiting up to `wait` seconds for the first.

    Raises Refused when there is no subscription `path` (its full name) or it is not for pull.
    """
    until = time.monotonic() + wait
    while True:
        _return_overdue(backlog, path)
        with backlog.lock:
            subscription = backlog.find(path)
            if not subscription.pulled:
                raise Refused(grpc.StatusCode.FAILED_PRECONDITION, f"{path} is not for pull")
            spec = subscription.spec
            taken = backlog.take_due(subscription, most)
            left = until - time.monotonic()
            if taken or left <= 0 or not backlog.running:
                kept_until = time.monotonic() + spec.ack_deadline_seconds
                for pending in taken:
                    pending.due = kept_until
                counted = spec.dead_letter_topic is not None
                return [Pulled(p.ack_id, p.attempt if counted else 0, p.message) for p in taken]
            subscription.ready.wait(min(left, 0.05))


def modify(backlog: Backlog, path: str, ack_ids: Iterable[str], deadline: int | None) -> None:
    """Acknowledge (`deadline` None), give back (0) or keep for `deadline` seconds from now.

    Ids whose lease is over are ignored. Raises Refused when there is no subscription `path`.
    """
    with backlog.lock:
        subscription = backlog.find(path)
        leased = [pending for each in ack_ids if (pending := subscription.lease_of(each))]
        if deadline:
            for pending in leased:
                pending.due = time.monotonic() + deadline
            return
    # Outside the lock: a dead letter runs its topic's callbacks, which take their own turn.
    error = "" if deadline is None else "nacked"
    for pending in leased:
        backlog.settle(subscription, pending, None, error, 0.0)


def _return_overdue(backlog: Backlog, path: str) -> None:
    with backlog.lock:
        subscription = backlog.find(path)
        now = time.monotonic()
        overdue = [pending for pending in subscription.leased.values() if pending.due <= now]
    seconds = subscription.spec.ack_deadline_seconds
    for pending in overdue:
        backlog.settle(subscription, pending, None, f"no answer within {seconds} s", seconds)
