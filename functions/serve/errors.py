"""Errors that a request can end with, and their answer in the form of RFC 9457."""

from __future__ import annotations

from dataclasses import dataclass


class BadRequestError(ValueError):
    """A request is wrong: the text names the parameter and the values that it allows."""


class NotPublishedError(LookupError):
    """A report is declared and has no table yet, because its system was never loaded."""


@dataclass(frozen=True)
class Problem:
    """A document of type `application/problem+json`."""

    status: int
    title: str
    detail: str = ""

    headers: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, str | int]:
        """Build the JSON document; its type is `about:blank`, so the status says it all."""
        document: dict[str, str | int] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
        }
        return {**document, "detail": self.detail} if self.detail else document
