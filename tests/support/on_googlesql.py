"""`pytest -p tests.support.on_googlesql`: tests of SQL on ZetaSQL's reference engine, not the stand-in."""

from __future__ import annotations

import local_cloud.bigquery.server
from local_cloud.googlesql.client import Client


class Server:
    """Replaces `BigQueryServer`; it starts no process."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def start(self) -> None:
        """Do nothing."""

    def wait_ready(self, *_: object) -> None:
        """Do nothing."""

    def client(self) -> Client:
        """Give a client of an empty warehouse."""
        return Client()


local_cloud.bigquery.server.BigQueryServer = Server  # type: ignore[assignment,misc]
