"""How Pub/Sub delivers the message of a step: the subscriptions are made by it, the sweep waits by it."""

from __future__ import annotations

from datetime import timedelta

MIN_BACKOFF = timedelta(seconds=10)
MAX_BACKOFF = timedelta(seconds=600)
"""How long a message that failed waits: at first, at most; twice as long each time
(cloud.google.com/pubsub/docs/handling-failures)."""
MAX_TRIES = 50
"""After how many tries a message is a dead letter."""


def life() -> timedelta:
    """How long a message waits between its tries, all together, until it is a dead letter."""
    waits = (MIN_BACKOFF * 2 ** min(number, 32) for number in range(MAX_TRIES - 1))
    return sum((min(wait, MAX_BACKOFF) for wait in waits), timedelta())
