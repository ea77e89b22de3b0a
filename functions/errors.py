"""The two kinds of error: `Permanent`, and everything else."""

from __future__ import annotations


class Permanent(Exception):
    """Trying again cannot help: the message is acknowledged and kept with this reason.

    The sentence names the data set, the run, the thing, the place and the way out.
    """


class Later(Exception):
    """Not now, but later: the message is delivered again with back-off."""
