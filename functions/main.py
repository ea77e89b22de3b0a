"""Entry points of the Cloud Functions: a few lines each, a step imported when it is called for."""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent
from flask import Request, Response

from functions.core.handler import handle, respond


@functions_framework.cloud_event
def download(event: CloudEvent) -> None:
    """Fetch a run of a data set from its publisher."""
    from functions.download.step import run

    handle("download", event, run)


@functions_framework.cloud_event
def split(event: CloudEvent) -> None:
    """Cut a run into parts, a slot each."""
    from functions.split.step import run

    handle("split", event, run)


@functions_framework.cloud_event
def show(event: CloudEvent) -> None:
    """Show a snapshot's newest run in reports."""
    from functions.publish_latest.step import run

    handle("show", event, run)


@functions_framework.cloud_event
def seal(event: CloudEvent) -> None:
    """Gather the slots of a system that changed into manifests."""
    from functions.seal.step import run

    handle("seal", event, run)


@functions_framework.cloud_event
def submit(event: CloudEvent) -> None:
    """Submit a Spark batch for a manifest."""
    from functions.submit.step import run

    handle("submit", event, run)


@functions_framework.cloud_event
def load(event: CloudEvent) -> None:
    """Load what a batch wrote and swap it in."""
    from functions.load.step import run

    handle("load", event, run)


@functions_framework.cloud_event
def sweep(event: CloudEvent) -> None:
    """Find work that has no successor and send its message again."""
    from functions.sweep.step import run

    handle("sweep", event, run)


@functions_framework.http
def serve(request: Request) -> Response:
    """Answer a reader: pages, the API, exports."""
    from functions.serve.app import app

    return respond("serve", request, app().answer, app().failed)
