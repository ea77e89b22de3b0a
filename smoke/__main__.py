"""`python -m smoke STACK`: follow one fetch of a deployed stack, then ask its services."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime

from catalog.contract import Contract, Kind, load_all
from functions.core.clients import Clients
from smoke import outputs, services
from smoke.chain import SmokeError, Waiting, follow
from smoke.services import BrokenServiceError


def main() -> None:
    """Print a line for each thing seen; end with 1 where one is not as it should be."""
    parser = argparse.ArgumentParser(prog="nox -s smoke --", description=__doc__)
    parser.add_argument("stack", help="the stack, as `pulumi stack select` takes it")
    known = followed(load_all())
    parser.add_argument(
        "--dataset", choices=sorted(known), help="what to fetch; the smallest unless told otherwise"
    )
    asked = parser.parse_args()
    contract = known[asked.dataset] if asked.dataset else smallest(known)
    clients = Clients(outputs.read(asked.stack).settings())
    try:
        for line in look(clients, contract, Waiting()):
            sys.stdout.write(line + "\n")
    except (SmokeError, BrokenServiceError) as error:
        sys.exit(f"not well: {error}")


def look(
    clients: Clients, contract: Contract, waiting: Waiting, now: datetime | None = None
) -> Iterator[str]:
    """The services first, since they take seconds, then the chain; raises what is not well."""
    for check in services.CHECKS:
        try:
            check(clients)
        except BrokenServiceError as error:
            raise BrokenServiceError(f"{check.__name__}: {error}") from error
        yield f"held     {check.__name__}"
    yield from follow(clients, contract, waiting, now)


def followed(contracts: Mapping[str, Contract]) -> dict[str, Contract]:
    """The data sets that one message fetches whole: no stream, none that comes in slices."""
    return {
        name: contract
        for name, contract in contracts.items()
        if not contract.retired
        and contract.kind is not Kind.STREAM
        and contract.source.slices is None
    }


def smallest(contracts: Mapping[str, Contract]) -> Contract:
    """The data set whose contract admits the fewest bytes."""
    return min(contracts.values(), key=lambda each: (each.bounds.bytes_max, each.dataset))


if __name__ == "__main__":
    main()
