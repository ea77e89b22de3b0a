"""A bucket that is a folder: the calls of `split` to Cloud Storage, on local files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from google.api_core import exceptions


class FolderBucket:
    """A bucket of one folder. Generations are all 1, and one writer at a time is assumed."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which need not exist."""
        self.name = folder.name
        self._folder = folder

    def blob(self, name: str, generation: int | None = None) -> FolderBlob:
        """Return an object by its name, whether it exists or not."""
        del generation
        return FolderBlob(self._folder / name, name)

    def list_blobs(
        self, *, prefix: str, start_offset: str = "", end_offset: str = "", fields: str = ""
    ) -> Iterator[FolderBlob]:
        """Return the objects with a prefix in order, from one name to before another."""
        del fields
        below = self._folder / prefix.rpartition("/")[0]
        files = (path for path in below.rglob("*") if path.is_file())
        named = sorted(path.relative_to(self._folder).as_posix() for path in files)
        return (
            self.blob(name)
            for name in named
            if name.startswith(prefix)
            and name >= start_offset
            and (not end_offset or name < end_offset)
        )


class FolderBlob:
    """An object that is a file."""

    def __init__(self, path: Path, name: str) -> None:
        """Use a file, which need not exist."""
        self.name = name
        self.generation = 1
        self._path = path

    def open(self, mode: str, **options: object) -> IO[bytes]:
        """Open the file to read or to write; the options of an upload have no effect."""
        del options
        if "w" in mode:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return cast("IO[bytes]", self._path.open(mode, buffering=0))

    def upload_from_string(
        self, body: bytes, *, if_generation_match: int | None = None, **options: object
    ) -> None:
        """Write the whole file; raise PreconditionFailed if it must be absent and is not."""
        del options
        if if_generation_match == 0 and self._path.exists():
            raise _error("PreconditionFailed", self.name)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(body)

    def download_as_bytes(self) -> bytes:
        """Read the whole file; raise NotFound if there is none."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError as error:
            raise _error("NotFound", self.name) from error

    def exists(self) -> bool:
        """Return whether the file is there."""
        return self._path.exists()

    def reload(self) -> None:
        """Do nothing: generations are all 1."""

    def delete(self) -> None:
        """Remove the file; raise NotFound if there is none."""
        try:
            self._path.unlink()
        except FileNotFoundError as error:
            raise _error("NotFound", self.name) from error


def _error(kind: str, name: str) -> Exception:
    """Return an error of the client of Cloud Storage."""
    error: Exception = getattr(exceptions, kind)(name)
    return error
