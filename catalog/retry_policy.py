"""Pub/Sub's retries of a step's message: infra_pulumi configures them, the sweep uses them."""

from __future__ import annotations

from datetime import timedelta

MIN_BACKOFF = timedelta(seconds=10)

MAX_BACKOFF = timedelta(seconds=600)
"""How long a message that failed waits: at first, at most; twice as long each time
(cloud.google.com/pubsub/docs/handling-failures)."""

MAX_TRIES = 50
"""After how many tries a message is a dead letter. Messages with a shorter retention
(`infra_pulumi.routing`) expire first."""

ACK_DEADLINE = timedelta(seconds=600)
"""How long one try may take; then Pub/Sub counts it as failed."""


def backoff(tries: int) -> timedelta:
    """Return how long a message waits after its `tries`-th try failed."""
    return min(MIN_BACKOFF * (1 << min(tries - 1, 32)), MAX_BACKOFF)


def redelivery_window() -> timedelta:
    """Return the longest time from the publication of a message to its last delivery.

    It sums the waits between all tries (7 h 20 min) and tries that each take the ack deadline.
    """
    return sum((backoff(tries) for tries in range(1, MAX_TRIES)), ACK_DEADLINE * MAX_TRIES)
