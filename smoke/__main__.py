"""`python -m smoke STACK`: check the services of a deployed stack and follow one fetch."""

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
    """Print a line for each result; exit with 1 if one is not as expected."""
    parser = argparse.ArgumentParser(prog="nox -s smoke --", description=__doc__)
    parser.add_argument("stack", help="the stack, as in `pulumi stack select`")
    contracts = followed(load_all())
    parser.add_argument(
        "--dataset", choices=sorted(contracts), help="data set to fetch; by default the smallest"
    )
    options = parser.parse_args()
    contract = contracts[options.dataset] if options.dataset else smallest(contracts)
    clients = Clients(outputs.read(options.stack).settings())
    try:
        for line in look(clients, contract, Waiting()):
            sys.stdout.write(line + "\n")
    except (SmokeError, BrokenServiceError) as error:
        sys.exit(f"failed: {error}")


def look(
    clients: Clients, contract: Contract, waiting: Waiting, now: datetime | None = None
) -> Iterator[str]:
    """Check the services first, which takes seconds, then the chain; raise the first failure."""
    for check in services.CHECKS:
        try:
            check(clients)
        except BrokenServiceError as error:
            raise BrokenServiceError(f"{check.__name__}: {error}") from error
        yield f"held     {check.__name__}"
    yield from follow(clients, contract, waiting, now)


def followed(contracts: Mapping[str, Contract]) -> dict[str, Contract]:
    """Return the data sets that one message fetches whole: no streams, no slices."""
    return {
        name: contract
        for name, contract in contracts.items()
        if not contract.retired
        and contract.kind is not Kind.STREAM
        and contract.source.slices is None
    }


def smallest(contracts: Mapping[str, Contract]) -> Contract:
    """Return the data set whose contract admits the fewest bytes."""
    return min(contracts.values(), key=lambda each: (each.bounds.bytes_max, each.dataset))


if __name__ == "__main__":
    main()
