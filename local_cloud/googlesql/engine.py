"""Run ZetaSQL's local service, a WebAssembly module of the package `zetasql`, in process.

The package's own client compiles 28 MB of WebAssembly in each process and copies messages byte by byte.
Here that takes about half a minute of processor time, once: the compiled module is cached, and messages
are copied at once.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tzdata
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from wasmtime import Config, Engine, Linker, Module, Store, Trap, WasiConfig, WasmtimeError
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service_pb2
from zetasql.wasi._pb2.zetasql.proto import options_pb2

from local_cloud.processes import cache_dir

_ANSWERS: dict[str, Any] = {
    "Analyze": service_pb2.AnalyzeResponse,
    "Parse": service_pb2.ParseResponse,
    "EvaluateQuery": service_pb2.EvaluateQueryResponse,
    "UnprepareQuery": empty_pb2.Empty,
    "EvaluateModify": service_pb2.EvaluateModifyResponse,
    "RegisterCatalog": service_pb2.RegisterResponse,
    "UnregisterCatalog": empty_pb2.Empty,
    "GetAnalyzerOptions": options_pb2.AnalyzerOptionsProto,
}
_SIZE_BYTES = 4


class SqlError(Exception):
    """GoogleSQL refuses a statement; the text is its own."""


class Service:
    """Methods of `zetasql.local_service.ZetaSqlLocalService`, called in this process.

    Not safe for threads: each thread or process needs a service of its own.
    """

    def __init__(self) -> None:
        self._engine = _engine()
        self._module = compiled_module(self._engine)
        self.instance = 0
        """Number of the instance: what is registered with one is unknown to the next."""
        self.restart()

    def restart(self) -> None:
        """Begin with an instance that has no catalogs and no prepared queries."""
        self.instance += 1
        self._store = Store(self._engine)
        self._store.set_wasi(_wasi())
        linker = Linker(self._engine)
        linker.define_wasi()
        self._exports: Any = linker.instantiate(self._store, self._module).exports(self._store)
        self._memory = self._exports["memory"]
        if "_initialize" in self._exports:
            self._exports["_initialize"](self._store)

    def call(self, method: str, request: Message) -> Any:
        """Call a method.

        Args:
            method: A name in `_ANSWERS`, such as `Analyze`.
            request: The method's request.

        Returns:
            The method's response.

        Raises:
            SqlError: The service refuses the request, or its instance aborted. After an abort the
                service has a new instance: catalogs must be registered again.
        """
        try:
            body = self._call(f"ZetaSqlLocalService_{method}", request.SerializeToString())
        except (Trap, WasmtimeError) as error:
            self.restart()
            raise SqlError(f"ZetaSQL aborted in {method}: {error}") from error
        return _ANSWERS[method].FromString(body)

    def _call(self, function: str, data: bytes) -> bytes:
        start = self._run("wasm_malloc", len(data) or 1)
        size_start = self._run("wasm_malloc", _SIZE_BYTES)
        self._write(start, data)
        answer = self._run(function, start, len(data), size_start)
        if answer:
            body = self._read(answer, int.from_bytes(self._read(size_start, _SIZE_BYTES), "little"))
            self._free(start, size_start, answer)
            return body
        message = self._last_error()
        self._free(start, size_start)
        raise SqlError(message)

    def _run(self, function: str, *arguments: int) -> int:
        return int(self._exports[function](self._store, *arguments) or 0)

    def _free(self, *starts: int) -> None:
        for start in starts:
            self._exports["wasm_free"](self._store, start)

    def _last_error(self) -> str:
        size = self._run("wasm_get_last_error_size")
        text = self._read(self._run("wasm_get_last_error"), size) if size else b""
        return text.decode(errors="replace")

    def _address(self, start: int) -> int:
        return ctypes.addressof(self._memory.data_ptr().contents) + start

    def _write(self, start: int, data: bytes) -> None:
        ctypes.memmove(self._address(start), data, len(data))

    def _read(self, start: int, size: int) -> bytes:
        return ctypes.string_at(self._address(start), size)


def compiled_module(engine: Engine) -> Module:
    """Load the compiled module from the cache, or compile it and put it there."""
    path = cached_module()
    if path.is_file():
        try:
            return Module.deserialize_file(engine, str(path))
        except WasmtimeError:
            path.unlink(missing_ok=True)  # of another machine: the cache may be shared
    module = Module.from_file(engine, str(get_wasm_path()))
    _write_whole(path, module.serialize())
    return module


def cached_module() -> Path:
    """Name the compiled module's file, for one module, one wasmtime and one machine type."""
    digest = hashlib.sha256(get_wasm_path().read_bytes())
    digest.update(f"{version('zetasql')} {version('wasmtime')} {platform.machine()}".encode())
    return cache_dir() / "googlesql" / f"zetasql-{digest.hexdigest()[:16]}.cwasm"


def _write_whole(path: Path, body: Sequence[int]) -> None:
    """Write a file under another name first, so that no process reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(bytes(body))
    Path(file.name).replace(path)


def _engine() -> Engine:
    config = Config()
    config.shared_memory = True
    return Engine(config)


def _wasi() -> WasiConfig:
    wasi = WasiConfig()
    wasi.inherit_stderr()
    zones = Path(tzdata.__file__).parent / "zoneinfo"
    wasi.preopen_dir(str(zones), "/usr/share/zoneinfo")
    return wasi
