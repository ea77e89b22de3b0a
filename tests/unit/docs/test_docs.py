"""What the documents say is there is there, and what is there is said."""

from __future__ import annotations

import ast
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from catalog.contract import load_all, systems

REPOSITORY = Path(__file__).resolve().parents[3]
ADRS = REPOSITORY / "docs" / "adr"
PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"))
)
SHARED = ("functions/**/*.py", "catalog/**/*.py", "infra_pulumi/**/*.py", "dataproc_jobs/batch*.py")
"""Code that knows no data set by its name."""

_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NOX = re.compile(r"nox -s ((?:[a-z]+ ?)+)")
_PLACEHOLDER = re.compile(r"<[a-z]+>|…")
_PATH = re.compile(r"[\w<>*-][\w.<>*…-]*(/[\w.<>*…-]*)+|[\w-]+\.(py|sql|toml|md|yml|txt)|uv\.lock")
_FOLDERS = ("", "bq_sql/*/")
"""Where a path begins: at the root, or in a system's folder of SQL, which the sentence names."""


def text(page: str) -> str:
    """A page."""
    return (REPOSITORY / page).read_text(encoding="utf-8")


def promised_paths(page: str) -> list[str]:
    """The paths of the repository that a page names in backticks, what is only planned left out."""
    lines = [line for line in text(page).splitlines() if not re.search(r"planned| will ", line)]
    return [span for line in lines for span in _SPAN.findall(line) if _PATH.fullmatch(span)]


def stands(path: str) -> bool:
    """Whether the repository has the path; a placeholder stands for any name, `*` for itself.

    A file told without its folder may lie anywhere, since the sentence names the folder.
    """
    pattern = _PLACEHOLDER.sub("*", path).rstrip("/")
    places = _FOLDERS if "/" in path else ("**/",)
    found = (at for place in places for at in REPOSITORY.glob(place + pattern))
    return any(_kept(at) for at in found)


def _kept(path: Path) -> bool:
    """Whether a path is the repository's own, not something that was installed into it."""
    return not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts)


def test_what_is_read_as_a_path() -> None:
    told = [path for page in PAGES for path in promised_paths(page)]
    assert len(told) > 30
    assert {"functions/core/handler.py", "catalog/datasets/<dataset>.toml", "uv.lock"} <= set(told)
    assert not any(map(stands, ("gone/", "functions/gone.py", "gone.toml", "functions/<x>.sql")))
    assert all(map(stands, ("functions/", "checks/*.sql", "bq_sql/<system>/", "main.py")))


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    assert [path for path in promised_paths(page) if not stands(path)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = (REPOSITORY / page).parent
    relative = [link for link in _LINK.findall(text(page)) if "://" not in link]
    gone = [link for link in relative if not _leads(folder, page, link)]
    assert gone == []


def _leads(folder: Path, page: str, link: str) -> bool:
    """Whether a relative link leads to a file, and to a heading in it where it names one."""
    path, _, heading = link.partition("#")
    target = folder / path if path else REPOSITORY / page
    if not target.exists():
        return False
    return not heading or heading in _headings(target.read_text(encoding="utf-8"))


def _headings(page: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ +(.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_pulumi_is_called_at_the_root(page: str) -> None:
    """nox and the paths of the documents are the root's: one folder for all commands."""
    commands = re.findall(r"^ {4,}(pulumi .+|cd .+)$", text(page), re.MULTILINE)
    known = ("pulumi -C infra_pulumi ", "pulumi login")
    assert [command for command in commands if not command.startswith(known)] == []


def sessions() -> list[str]:
    """The names of nox's sessions."""
    tree = ast.parse(text("noxfile.py"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return [name for node in functions if (name := _session(node))]


def _session(node: ast.FunctionDef) -> str | None:
    """The session that a function is, if it is one."""
    for decorator in node.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(call) == "nox.session":
            keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
            named = [ast.literal_eval(k.value) for k in keywords if k.arg == "name"]
            return str(named[0]) if named else node.name
    return None


@pytest.mark.parametrize("page", [*PAGES, ".github/workflows/ci.yml"])
def test_every_session_that_a_page_names_is_there(page: str) -> None:
    named = {name for words in _NOX.findall(text(page)) for name in words.split()}
    assert named - set(sessions()) == set()


def test_every_session_is_told() -> None:
    told = " ".join(_NOX.findall(text("README.md") + text("CONTRIBUTING.md"))).split()
    assert len(sessions()) > 5
    assert [name for name in sessions() if name not in told] == []


def test_decisions_are_numbered_without_gaps() -> None:
    pages = sorted(ADRS.glob("*.md"))
    assert [page.name[:5] for page in pages] == [f"{n:04d}-" for n in range(1, len(pages) + 1)]
    for number, page in enumerate(pages, start=1):
        title = page.read_text(encoding="utf-8").partition("\n")[0]
        assert re.match(rf"# {number}\. \S", title), f"{page.name} begins with {title!r}"


def test_every_decision_that_is_referred_to_is_there() -> None:
    count = len(list(ADRS.glob("*.md")))
    named = {int(n) for page in PAGES for n in re.findall(r"\bADR[ -]?0*(\d+)", text(page))}
    assert {number for number in named if not 1 <= number <= count} == set()


@pytest.mark.parametrize("dataset", sorted(load_all()))
def test_every_contract_is_in_the_table_of_data_sets(dataset: str) -> None:
    contract = load_all()[dataset]
    rows = [line for line in text("README.md").splitlines() if line.startswith(f"| `{dataset}` |")]
    assert len(rows) == 1, f"README.md: {dataset} must have one row in the table of data sets"
    for said in (str(contract.kind).replace("_", " "), contract.publisher, contract.licence_url):
        assert said in rows[0], f"README.md: the row of {dataset} does not say {said}"
    assert contract.attribution.removeprefix("Source: ") in text("README.md")


def test_the_table_of_data_sets_has_no_others() -> None:
    named = re.findall(r"^\| `(\w+)` \|", text("README.md"), re.MULTILINE)
    assert sorted(named) == sorted(load_all())


@pytest.mark.parametrize("system", sorted(systems(load_all())))
def test_every_sample_has_its_licence_beside_it(system: str) -> None:
    contracts = systems(load_all())[system]
    licences = (REPOSITORY / "tests" / "data").rglob("LICENCE.md")
    told = [path.read_text(encoding="utf-8") for path in licences]
    for contract in contracts:
        assert any(contract.licence_url.rstrip("/") in page for page in told), contract.dataset


def dependencies() -> set[str]:
    """Names of the packages that `pyproject.toml` asks for."""
    groups = tomllib.loads(text("pyproject.toml"))["dependency-groups"]
    entries = [entry for group in groups.values() for entry in group if isinstance(entry, str)]
    return {re.split(r"[=<>~!\[; ]", entry)[0] for entry in entries}


def explained() -> list[str]:
    """Names and patterns of the packages in the table of ADR 3; `-x` goes on from the first."""
    found: list[str] = []
    for row in re.findall(
        r"^\| ([^|]+) \| [^|]+ \|$", text("docs/adr/0003-dependencies.md"), re.MULTILINE
    ):
        names = [name.strip() for name in row.split(",")]
        stem = names[0].rpartition("-")[0]
        found += [f"{stem}{name}" if name.startswith("-") else name for name in names]
    return [name for name in found if name != "package"]


def test_every_dependency_has_its_line() -> None:
    patterns = explained()
    assert [d for d in sorted(dependencies()) if not any(fnmatch(d, p) for p in patterns)] == []


def test_no_line_explains_what_nobody_asks_for() -> None:
    by_hand = {"nox", "uv"}
    asked = dependencies() | by_hand
    assert [p for p in explained() if not any(fnmatch(d, p) for d in asked)] == []


def test_no_shared_code_knows_a_data_set_by_its_name() -> None:
    contracts = load_all()
    words = {*contracts, *systems(contracts)}
    files = [path for place in SHARED for path in REPOSITORY.glob(place)]
    assert len(files) > 40
    knowing = [
        path.relative_to(REPOSITORY).as_posix()
        for path in files
        if any(word in path.read_text(encoding="utf-8") for word in words)
    ]
    assert knowing == []
