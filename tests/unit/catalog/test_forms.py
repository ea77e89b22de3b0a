"""Forms of times: what they read, and which are refused."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.time_format import TimeFormat

READ = [
    ("%d/%m/%Y %H:%M", "05/06/2024 10:30", "2024-06-05T10:30:00"),
    ("%d/%m/%Y %H:%M", " 5/6/2024  9:05 ", "2024-06-05T09:05:00"),
    ("%d/%m/%Y %H:%M", "05/06/2024\u00a010:30", "2024-06-05T10:30:00"),
    ("%d/%m/%Y %H:%M", "31/04/2024 10:30", None),
    ("%d/%m/%Y %H:%M", "05/06/2024 24:00", None),
    ("%d/%m/%Y %H:%M", "05/06/2024", None),
    ("%d/%m/%Y %H:%M", "05/06/2024 10:30:00", None),
    ("%d/%m/%Y %H:%M", "05/06/24 10:30", None),
    ("%d/%m/%Y %H:%M", "٠٥/06/2024 10:30", None),
    ("%d/%m/%Y", "05/06/2024", "2024-06-05"),
    ("%d.%m.%y", "05.06.68", "2068-06-05"),
    ("%d.%m.%y", "05.06.69", "1969-06-05"),
    ("%Y%m%d%H%M%S", "20240605103059", "2024-06-05T10:30:59"),
    ("%d%m%Y", "1112025", None),
    ("%m/%d/%Y %H:%M:%S %z", "6/5/2024 10:30:00 +0200", "2024-06-05T10:30:00+0200"),
    ("%d/%m/%Y %H:%M%z", "05/06/2024 10:30Z", "2024-06-05T10:30:00Z"),
    (" %d/%m/%Y ", "05/06/2024", "2024-06-05"),
    ("%Y-%m-%d a las %H:%M", "2024-06-05 a las 10:30", "2024-06-05T10:30:00"),
    ("%d/%m/%Y %Hh%M", "05/06/2024 10h30", "2024-06-05T10:30:00"),
]


@pytest.mark.parametrize(("form", "text", "said"), READ)
def test_a_text_of_a_form_is_told_as_iso(form: str, text: str, said: str | None) -> None:
    assert TimeFormat(form).instant(text) == said


def test_a_day_is_the_one_that_is_written() -> None:
    assert TimeFormat("%d/%m/%Y %H:%M").date("05/06/2024 23:30") == "2024-06-05"


FORMS = st.sampled_from(
    ["%d/%m/%Y %H:%M:%S", "%Y%m%d%H%M%S", "%S.%M.%H %d-%m-%Y", "%Hh%M %S, %m/%d %Y"]
)


@given(FORMS, st.datetimes(datetime(1000, 1, 1)))
def test_what_is_written_in_a_form_is_read_in_it(form: str, moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    assert TimeFormat(form).instant(whole.strftime(form)) == whole.isoformat()


@pytest.mark.parametrize(("form", "said"), [
    ("", "must have %d, %m, and either"), ("%H:%M", "must have %d"), ("%d/%m/%Y/%y", "either"),
    ("%d %B %Y", "%B is none of"), ("%d/%m/%Y %I:%M", "%I is none of"), ("%d/%m/%Y %", "% is none of"),
    ("%d/%m/%Y %d", "%d appears twice"), ("%d/%m/%Y %M", "%M needs %H"), ("%d/%m/%Y %H:%S", "%S needs %M"),
    ("%d/%m/%Y%z", "%z needs %H"), ("%d/%m/20%y", "no digit"), ("%d/%m/%Y %H:%MZ", "Z would be ignored"),
    ("%d/%m/%Y %H:%M utc", "UTC would be"), ("%d/%m/%Y %H:%M PM", "PM would be"), ("%Y-%d-%m %H:%M", "like ISO"),
])  # fmt: skip
def test_a_form_that_misleads_is_refused(form: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TimeFormat(form)
