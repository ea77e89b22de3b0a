"""Outputs of a stack: `pulumi stack output --json`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from functions.core.settings import Settings

PROGRAM = Path(__file__).resolve().parents[1] / "infra_pulumi"


class OutputsError(RuntimeError):
    """The outputs have a fault: the text names the stack and the fix."""


class Outputs(msgspec.Struct, frozen=True):
    """The outputs that are needed here; others are ignored."""

    project: str
    region: str

    def settings(self) -> Settings:
        """Return the settings of a step of this stack."""
        return Settings(
            project=self.project,
            region=self.region,
            raw=f"{self.project}-raw",
            landing=f"{self.project}-landing",
            lake=f"{self.project}-lake",
            quarantine=f"{self.project}-quarantine",
        )


def read(stack: str) -> Outputs:
    """Read the outputs of a stack by Pulumi's CLI, or raise OutputsError."""
    command = ["pulumi", "stack", "output", "--json", "--stack", stack]
    try:
        done = subprocess.run(command, cwd=PROGRAM, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise OutputsError(
            "pulumi is not on PATH: install it (docs/deploy.md, What you need)"
        ) from error
    if done.returncode:
        raise OutputsError(f"stack {stack}: {done.stderr.strip() or done.stdout.strip()}")
    return decoded(stack, done.stdout)


def decoded(stack: str, text: str) -> Outputs:
    """Decode the outputs from JSON; raise OutputsError if one is missing."""
    try:
        return msgspec.json.decode(text, type=Outputs)
    except msgspec.MsgspecError as error:
        raise OutputsError(f"stack {stack}: {error}: run `pulumi up` with this release") from error
