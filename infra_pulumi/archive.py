"""The functions' source archive: the same content always gives the same name."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_OURS = (".py", ".sql", ".html", ".css", ".js", ".svg", ".txt")
"""Suffixes of the code: modules, and the files that they read."""

_AT_ROOT = ("functions/main.py", "functions/requirements.txt")
"""Files that the functions framework expects at the archive's root."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_UNIX = 3
"""The system that the zip names as its creator, on every machine."""


@dataclass(frozen=True)
class Archive:
    """A zip and the hash of its content, file by file."""

    path: Path
    hash: str


def build_archive(
    repository: Path, contracts: Iterable[Path], declared: Mapping[str, Path], folder: Path
) -> Archive:
    """Write the archive into `folder`, named by its content.

    `main.py` and `requirements.txt` are at its root, next to the packages `functions` and
    `catalog`. The contracts of all roots go to `catalog/datasets`, every other declared file to its
    name. Raises FileNotFoundError naming a file that is missing.
    """
    bodies = {name: path.read_bytes() for name, path in declared.items()}
    files = dict(sorted((_content(repository, contracts) | bodies).items()))
    digest = hashlib.sha256()
    for name, body in files.items():
        digest.update(f"{name}\n{len(body)}\n".encode() + body)
    archive = Archive(folder / f"functions-{digest.hexdigest()[:16]}.zip", digest.hexdigest())
    if not archive.path.exists():
        _write(archive.path, files)
    return archive


def _content(repository: Path, contracts: Iterable[Path]) -> dict[str, bytes]:
    """Return every file of the archive except the declared ones, by its name there."""
    functions = repository / "functions"
    files = {Path(name).name: (repository / name).read_bytes() for name in _AT_ROOT}
    for package in ("functions", "catalog"):
        for path in sorted((repository / package).rglob("*")):
            if (
                path.suffix in _OURS
                and path.relative_to(functions.parent).as_posix() not in _AT_ROOT
            ):
                files[path.relative_to(repository).as_posix()] = path.read_bytes()
    files |= {f"catalog/datasets/{path.name}": path.read_bytes() for path in contracts}
    return files


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the zip at once or not at all: two programs may build the same one.

    Nothing is compressed: another zlib would write other bytes for the same content, and another
    archive under the same name is uploaded again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as target, zipfile.ZipFile(target, "w") as archive:
        for file, body in files.items():
            info = zipfile.ZipInfo(file, _EPOCH)
            info.external_attr = _MODE
            info.create_system = _UNIX
            archive.writestr(info, body, zipfile.ZIP_STORED)
    Path(name).replace(path)
