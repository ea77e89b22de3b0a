"""Small files through Hadoop's FileSystem, and what the name of a file says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batch_manifest import BatchError
from py4j.protocol import Py4JJavaError
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F  # noqa: N812


@dataclass(frozen=True)
class Files:
    """Small files through Hadoop's FileSystem, so that a batch installs no client of its own."""

    spark: SparkSession

    def read(self, uri: str) -> str:
        """Read the text of the file at `uri`."""
        system, path = self._find(uri)
        stream = system.open(path)
        try:
            return str(self._java.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def exists(self, uri: str) -> bool:
        """Check whether there is a file or folder at `uri`."""
        system, path = self._find(uri)
        return bool(system.exists(path))

    def create(self, uri: str, text: str) -> bool:
        """Write `text` at `uri` only if nothing is there; return whether this call wrote it."""
        system, path = self._find(uri)
        try:
            stream = system.create(path, False)
            stream.write(bytearray(text.encode()))
            stream.close()
        except Py4JJavaError:
            if not system.exists(path):
                raise
            return False
        return True

    @property
    def _java(self) -> Any:
        return self.spark._jvm

    def _find(self, uri: str) -> tuple[Any, Any]:
        """Return the file system and the path of a URI."""
        path = self._java.org.apache.hadoop.fs.Path(uri)
        configuration = self.spark._jsc.hadoopConfiguration()
        return path.getFileSystem(configuration), path


def slot_of(uri: str) -> str:
    """Return the slot in a file's name, from its folder `slot=<slot>`."""
    for folder in uri.split("/"):
        if folder.startswith("slot="):
            return folder.removeprefix("slot=")
    raise BatchError(f"{uri}: no folder slot=<slot> in the name")


def without_scheme(uri: str) -> str:
    """Cut the scheme off a URI: Hadoop and Spark write the slashes after it differently."""
    return uri.partition(":")[2].lstrip("/")


def source_file() -> Column:
    """Name the file that a row was read from, as `without_scheme` writes it."""
    return F.regexp_replace("_metadata.file_path", "^[a-z]+:/+", "")
