"""The roles that deploy.md has the operator grant by hand: a pull request only reads the state."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "deploy.md").read_text(encoding="utf-8")

READING = {"roles/storage.objectViewer", "roles/cloudkms.cryptoKeyDecrypter"}
WRITING = {"roles/storage.objectUser", "roles/cloudkms.cryptoKeyEncrypterDecrypter"}
TITLES_THAT_WRITE = r"Storage Object (?:User|Admin|Creator)|CryptoKey Encrypter"


def commands(text: str) -> list[list[str]]:
    """The commands of gcloud on a page, as words."""
    return [shlex.split(line) for line in re.findall(r"^ +(gcloud .*)$", text, re.MULTILINE)]


def granted(text: str, account: str) -> set[str]:
    """The roles that the page's commands grant to a service account."""
    member = f"--member=serviceAccount:{account}@PROJECT.iam.gserviceaccount.com"
    return {
        word.partition("=")[2]
        for words in commands(text)
        if member in words
        for word in words
        if word.startswith("--role=")
    }


def faults(text: str) -> list[str]:
    """What the page says that would let a pull request change the state, or lose an earlier one."""
    found = [f"github-preview gets {role}" for role in granted(text, "github-preview") - READING]
    workflows = text.partition("## By GitHub\n")[2].partition("\n## ")[0]
    found += [f"a sentence grants {title}" for title in re.findall(TITLES_THAT_WRITE, workflows)]
    kept = [words for words in commands(text) if "--versioning" in words]
    if not any("gs://STATE" in w and "--soft-delete-duration=90d" in w for w in kept):
        found.append("an earlier state is not kept")
    return found


def test_a_pull_request_reads_the_state_and_the_deployer_writes_it() -> None:
    assert faults(TEXT) == []
    assert granted(TEXT, "github-preview") == READING
    assert granted(TEXT, "github-deploy") == WRITING


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("roles/storage.objectViewer", "roles/storage.objectUser"),
        ("roles/cloudkms.cryptoKeyDecrypter", "roles/cloudkms.cryptoKeyEncrypterDecrypter"),
        ("The deployer writes:", "Both accounts need the role Storage Object User."),
        (" --versioning", ""),
        (" --soft-delete-duration=90d", ""),
    ],
)
def test_a_page_that_hands_out_the_state_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    assert faults(TEXT.replace(old, new)) != []
