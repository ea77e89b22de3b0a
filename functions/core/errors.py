"""The two kinds of error of a step, and the one of a name whose slot is unknown."""

from __future__ import annotations


class PermanentError(Exception):
    """Trying again cannot help: the message is acknowledged and kept with this reason.

    The sentence names the data set, the run, the thing, the place and the way out.
    """


class RetryLaterError(Exception):
    """Not now, but later: the message is delivered again with back-off."""


class UnknownSlotError(ValueError):
    """A name that the pipeline wrote holds a slot that its contract cannot parse."""
