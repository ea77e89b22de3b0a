"""Define the two kinds of error of a step, and the error of a name whose slot is unknown."""

from __future__ import annotations


class PermanentError(Exception):
    """A retry cannot help: the message is acknowledged and kept in quarantine with the reason.

    The text names the data set, the run, what is wrong, where, and how to fix it.
    """


class RetryLaterError(Exception):
    """A later attempt may succeed: the message is delivered again with back-off."""


class UnknownSlotError(ValueError):
    """A name that the pipeline wrote holds a slot that its contract cannot parse."""
