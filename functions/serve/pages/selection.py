"""A reader's choices, the page's filters with their options, and the texts about both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from catalog.pages import Chart, Figure, Filter, Listing, Page
from functions.serve.pages.data import Answers, FailedQuestion, FilterSelection, of_filter
from functions.serve.pages.view_models import Choice, FilterView
from functions.serve.warehouse.result import ResultTable


@dataclass(frozen=True)
class Selection:
    """The choices of a page."""

    explicit: FilterSelection
    """What the reader chose."""
    effective: FilterSelection
    """What the reader chose, completed by the default options of the other filters."""


def select(explicit: FilterSelection, filters: Iterable[FilterView]) -> Selection:
    """Complete the reader's choices by the options that the filters select by default."""
    by_filter = dict(explicit.by_filter)
    for each in filters:
        selected = [choice.value for choice in each.choices if choice.selected]
        if selected and each.column not in by_filter:
            by_filter[each.column] = ((each.column, selected[0]),)
    return Selection(explicit, FilterSelection(by_filter))


def filter_view(each: Filter, explicit: FilterSelection, offered: Answers) -> FilterView:
    """Build a filter's part of the form, with its options and the selected one."""
    texts = dict(explicit.of((each.column,)))
    if each.kind == "dates":
        begin, end = (texts.get(f"{each.column}.{suffix}", "") for suffix in ("from", "to"))
        return FilterView(each.column, each.label, each.kind, begin=begin, end=end)
    options = _options(each, offered[of_filter(each)])
    selected = texts.get(each.column) or (next(iter(options), "") if each.first else "")
    if selected:
        options.setdefault(selected, selected)
    choices = tuple(Choice(value, text, value == selected) for value, text in options.items())
    return FilterView(each.column, each.label, each.kind, choices, optional=not each.first)


def missing_filter(
    part: Figure | Chart | Listing, page: Page, selection: Selection
) -> Filter | None:
    """Find the filter without which a part cannot be shown, if nothing is chosen there.

    It is the filter that a chart needs, or one that always has a choice (`first`) and had no options.
    Without it, the part would show the rows of all values as those of one.
    """
    own = part.at if isinstance(part, Figure) else ""
    needed = part.needs if isinstance(part, Chart) else ""
    for each in page.filters:
        follows = each.column in part.filters and each.column != own
        chosen = selection.effective.of((each.column,))
        if follows and (each.first or each.column == needed) and not chosen:
            return each
    return None


def missing_filter_hint(missing: Filter) -> str:
    """Say that a choice is missing: the reader must choose, or there were no options."""
    label = missing.label.lower()
    if missing.first:
        return f"Nothing is chosen: there was no {label} to choose from."
    return f"Nothing is chosen: choose a {label} above."


def ignored_filters_note(
    part: Figure | Chart | Listing, page: Page, explicit: FilterSelection
) -> str:
    """Say which of the reader's choices a part does not follow.

    A part that shows the filter's column needs no note: its rows name their value.
    """
    columns = (part.at,) if isinstance(part, Figure) else tuple(part.columns)
    labels = [
        each.label.lower()
        for each in page.filters
        if explicit.of((each.column,)) and each.column not in (*part.filters, *columns)
    ]
    return f"Does not follow the choice of {', '.join(labels)}." if labels else ""


def _options(each: Filter, found: ResultTable | FailedQuestion) -> dict[str, str]:
    """Map values to texts of a filter; in the report's order if the first is the default."""
    if isinstance(found, FailedQuestion):
        return {}
    names = [column.name for column in found.columns]
    value, text = names.index(each.column), names.index(each.named or each.column)
    options = {
        str(row[value]): str(row[text] or row[value])
        for row in found.rows
        if row[value] is not None
    }
    return options if each.first else dict(sorted(options.items(), key=_natural_key))


def _natural_key(option: tuple[str, str]) -> tuple[bool, int, str]:
    """Sort by text, but numbers first and by their size."""
    text = option[1]
    return (not text.isdecimal(), int(text) if text.isdecimal() else 0, text.casefold())
