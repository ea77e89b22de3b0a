"""The resend policy: one live message of the sweep per object, a bounded number of them, no way back."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import retry_policy
from functions.sweep.resend import MAX_RESENDS, Action, Resend, decide

NOW = datetime(2025, 6, 5, 2, 10, tzinfo=UTC)
LIFE = retry_policy.redelivery_window()
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("last", "action"),
    [
        pytest.param(None, Action.SEND, id="never sent: the original may be lost"),
        pytest.param(Resend(1, NOW), Action.WAIT, id="sent by this very sweep"),
        pytest.param(Resend(1, NOW - LIFE), Action.WAIT, id="its last try may be on its way"),
        pytest.param(Resend(1, NOW - LIFE - SECOND), Action.SEND, id="dead by now"),
        pytest.param(Resend(1, NOW + LIFE), Action.WAIT, id="a sweep that comes late"),
        pytest.param(Resend(MAX_RESENDS, NOW - LIFE), Action.WAIT, id="the last may still live"),
        pytest.param(Resend(MAX_RESENDS, NOW - LIFE - SECOND), Action.REFUSE, id="all are dead"),
        pytest.param(Resend(MAX_RESENDS + 4, NOW - 9 * LIFE), Action.REFUSE, id="long since"),
    ],
)
def test_what_is_decided(last: Resend | None, action: Action) -> None:
    assert decide(last, NOW) is action


MINUTES = st.lists(st.integers(0, 6 * 24 * 60), max_size=200)


@given(minutes=MINUTES, ordered=st.booleans())
def test_sweeps_at_any_times_in_any_order(minutes: list[int], ordered: bool) -> None:
    """A sweep's message may come late, so that its time lies before that of sweeps that ran."""
    last: Resend | None = None
    sent: list[datetime] = []
    actions: list[Action] = []
    for minute in sorted(minutes) if ordered else minutes:
        now = NOW + timedelta(minutes=minute)
        actions.append(decide(last, now))
        if actions[-1] is Action.SEND:
            last = Resend(len(sent) + 1, now)
            sent.append(now)
    assert all(later - earlier > LIFE for earlier, later in itertools.pairwise(sent))
    assert len(sent) <= MAX_RESENDS
    assert bool(sent) == bool(minutes), "the first sweep sends"
    if ordered and Action.REFUSE in actions:
        assert set(actions[actions.index(Action.REFUSE) :]) == {Action.REFUSE}


@given(
    number=st.integers(1, 2 * MAX_RESENDS),
    age=st.timedeltas(timedelta(0), 5 * LIFE),
    more=st.timedeltas(timedelta(0), 5 * LIFE),
)
def test_what_need_not_wait_never_waits_again(number: int, age: timedelta, more: timedelta) -> None:
    last = Resend(number, NOW)
    first, later = decide(last, NOW + age), decide(last, NOW + age + more)
    assert first is Action.WAIT or later is first


def test_sweeps_every_ten_minutes_end_in_a_refusal_after_two_days() -> None:
    last: Resend | None = None
    now = NOW
    while (action := decide(last, now)) is not Action.REFUSE:
        if action is Action.SEND:
            last = Resend(last.number + 1 if last else 1, now)
        now += timedelta(minutes=10)
    assert timedelta(hours=47) < now - NOW < timedelta(hours=48)
