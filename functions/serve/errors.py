"""What a reader is told when a question cannot be answered, as RFC 9457 has it."""

from __future__ import annotations

from dataclasses import dataclass


class BadRequestError(ValueError):
    """The question is at fault: names the parameter and what it may be."""


class NotPublishedError(LookupError):
    """A report is declared and has no table yet: its system has not been loaded."""


@dataclass(frozen=True)
class Problem:
    """A document of type `application/problem+json`."""

    status: int
    title: str
    detail: str = ""

    headers: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, str | int]:
        """The document; its type is that of the status alone."""
        told: dict[str, str | int] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
        }
        return {**told, "detail": self.detail} if self.detail else told
