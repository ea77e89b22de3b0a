"""Licences and attributions of a report's data sets, read from their contracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from catalog.contract import Contract
from functions.serve.report_catalog import ReportDefinition
from functions.serve.value_codec import to_json_value
from functions.serve.warehouse.result import ResultTable


@dataclass(frozen=True)
class Attribution:
    """The contracts of one report's data sets."""

    contracts: tuple[Contract, ...]

    @property
    def licences(self) -> tuple[str, ...]:
        """Each licence once, by its SPDX name."""
        return tuple(dict.fromkeys(each.licence for each in self.contracts))

    @property
    def attributions(self) -> tuple[str, ...]:
        """Each attribution once, as the publisher words it."""
        return tuple(dict.fromkeys(each.attribution for each in self.contracts))

    def document(self) -> list[dict[str, str]]:
        """Describe each data set as a JSON object."""
        return [
            {
                "dataset": each.dataset,
                "title": each.title,
                "publisher": each.publisher,
                "homepage": each.homepage,
                "licence": each.licence,
                "licence_url": each.licence_url,
                "attribution": each.attribution,
            }
            for each in self.contracts
        ]


def sources(report: ReportDefinition, contracts: Mapping[str, Contract]) -> Attribution:
    """Collect the contracts of all data sets that a report reads or joins."""
    named = (*report.declared.datasets, *report.declared.joined)
    return Attribution(tuple(contracts[name] for name in dict.fromkeys(named) if name in contracts))


def headers(attribution: Attribution, table: ResultTable) -> tuple[tuple[str, str], ...]:
    """Build the headers that describe the rows, so that a downloaded file has them too.

    Text outside ASCII is percent-encoded UTF-8, because a header allows no other letters.
    """
    links = [
        f'<{quote(each.licence_url, safe=_SAFE)}>; rel="license"; title="{_plain(each.licence)}"'
        for each in attribution.contracts
    ]
    links.append(f'</api/v1/reports/{table.name}>; rel="describedby"')
    return (
        ("Link", ", ".join(dict.fromkeys(links))),
        ("X-Attribution", _plain("; ".join(attribution.attributions))),
        ("X-Data-As-Of", str(to_json_value(table.data_as_of) or "")),
        ("X-Licence", _plain(", ".join(attribution.licences))),
        ("X-Origin", str(table.origin or "")),
    )


_SAFE = "/:?=&%#+,;@~-._"


def _plain(text: str) -> str:
    return quote(text, safe=" /:?=&+,;@~-._'()")
