"""How many examples of a property are tried: fewer in an ordinary run than in a thorough one."""

from __future__ import annotations

from hypothesis import settings

THOROUGH = 100
"""Examples of a property that asks for no other number, with `--hypothesis-profile=thorough`."""
ORDINARY = 30


def register_profiles() -> None:
    """Register both profiles and load the ordinary one; the option of pytest loads another later."""
    # A busy machine takes its time for an example: that says nothing about the code.
    settings.register_profile("ordinary", deadline=None, max_examples=ORDINARY)
    settings.register_profile("thorough", deadline=None, max_examples=THOROUGH)
    settings.load_profile("ordinary")


def examples(thorough: int) -> settings:
    """Try so many examples in a thorough run, and in another the share that its profile has."""
    profile = settings.get_current_profile_name()
    share = settings.get_profile(profile).max_examples / THOROUGH
    return settings(max_examples=max(1, round(thorough * share)))
