"""ZetaSQL's compiled module in the cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from wasmtime import WasmtimeError

from local_cloud.googlesql import engine


class Module:
    """A module that compiles at once; only bytes of its own can be loaded."""

    compiled = 0

    @classmethod
    def from_file(cls, *_: object) -> Module:
        cls.compiled += 1
        return cls()

    @classmethod
    def deserialize_file(cls, _: object, path: str) -> Module:
        if Path(path).read_bytes() != b"module":
            raise WasmtimeError("not a module of this machine")
        return cls()

    def serialize(self) -> bytearray:
        return bytearray(b"module")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Module]:
    """The module's class, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(engine, "Module", Module)
    monkeypatch.setattr(Module, "compiled", 0)
    return Module


def test_it_is_compiled_once_and_written_whole(module: type[Module]) -> None:
    for _ in range(2):
        engine.compiled_module(None)
    assert module.compiled == 1
    path = engine.cached_module()
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == b"module"


def test_a_file_that_cannot_be_loaded_is_compiled_again(module: type[Module]) -> None:
    path = engine.cached_module()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    engine.compiled_module(None)
    assert (module.compiled, path.read_bytes()) == (1, b"module")


def test_another_version_has_a_file_of_its_own(
    module: type[Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = engine.cached_module()
    for name in ("wasmtime", "zetasql"):
        with monkeypatch.context() as patch:
            patch.setattr(engine, "version", lambda each, name=name: "0" if each == name else "1")
            paths = {path, engine.cached_module()}
            patch.setattr(engine, "version", lambda each: "1")
            paths.add(engine.cached_module())
        assert len(paths) == 3
