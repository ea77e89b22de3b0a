"""The pages as a reader's browser has them: chromium, no test double between it and `serve`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, sync_playwright

from catalog.pages import Page as Declared
from functions.serve.report_catalog import load_report_definitions
from tests.browser.conftest import DASHBOARDS, PICTURES

DECLARED = sorted(path.stem for path in DASHBOARDS.glob("*.toml"))
PAGES = ["", *DECLARED]


def page_of(name: str) -> Declared:
    """What a page declares."""
    return msgspec.toml.decode((DASHBOARDS / f"{name}.toml").read_bytes(), type=Declared)


WIDTHS = (360, 1440)
SCHEMES = ("light", "dark")
MOST_BYTES = 400_000
"""Of a page as it is sent, all its files but the vega bundle."""
PAINT_MOST = 1_000
"""Milliseconds until there is something to see."""
LOADS = 5
"""How often a page is loaded at most, as other things run beside it."""
PATIENCE = 120_000
"""Milliseconds that a page may take on a machine that has other things to do; no measure of it."""
READY = """() => [...document.querySelectorAll('.chart')].every(
  place => place.querySelector('svg, canvas') || place.textContent.trim())"""
EMPTY_CHARTS = """() => [...document.querySelectorAll('.chart')].filter(
  place => !place.querySelector('svg [class*="mark-"] path, svg [class*="mark-"] text, canvas')
).map(place => place.id)"""

OVERLAPS = """() => [...document.querySelectorAll('.chart .role-axis-label, .chart .role-legend')]
  .flatMap(group => {
    const boxes = [...group.querySelectorAll('text')]
      .filter(one => one.textContent && one.getAttribute('opacity') !== '0')
      .map(one => [one.textContent, one.getBoundingClientRect()]);
    return boxes.flatMap(([text, a], at) => boxes.slice(at + 1)
      .filter(([, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3)
      .map(([other]) => `${group.closest('.chart').id}: ${text} on ${other}`));
  })"""
"""Labels of an axis, or words of a legend, that lie upon each other."""

DRAWN = """() => Object.fromEntries([...document.querySelectorAll('.chart')].map(
  place => [place.id, [...place.querySelectorAll('[class*="mark-"]')].map(one => one.outerHTML).join('')]))"""
"""Chart → its marks."""

TIMES = """() => [performance.getEntriesByType('navigation')[0].responseStart,
  performance.getEntriesByName('first-contentful-paint')[0].startTime]"""
"""When the first byte came and when there was something to see, in milliseconds."""


@dataclass
class Seen:
    """What a browser did and said while a page was open."""

    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def faults(self, site: str) -> list[str]:
        """Errors of the console, and requests to anywhere but the site."""
        elsewhere = [url for url in self.requests if not url.startswith((site, "data:", "blob:"))]
        return [*self.said, *elsewhere]


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A running chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@pytest.fixture
def reader(browser: Browser) -> Iterator[BrowserContext]:
    """A reader with an empty cache, a wide screen and a light scheme."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    yield context
    context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(browser: Browser, site: str, name: str, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    seen = watched(page)
    opened(page, f"{site}/{name}")
    picture(page, f"{name or 'index'}_{width}_{scheme}")
    assert seen.faults(site) == []
    assert page.evaluate(EMPTY_CHARTS) == []
    assert page.evaluate(OVERLAPS) == []
    assert (page.locator(".chart").count() > 0) == (name in DECLARED)
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0, f"{wider} px to scroll sideways"
    assert serious_faults(page) == []
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_light(reader: BrowserContext, site: str, name: str) -> None:
    reader.request.get(f"{site}/{name}")  # so that the rows are at hand, as for most readers
    page = reader.new_page()
    seen = watched(page)
    opened(page, f"{site}/{name}")
    sent = {url: size for url, size in seen.sizes.items() if "vega" not in url}
    assert min(sent.values()) > 0
    assert sent[f"{site}/{name}"] < sum(sent.values()) < MOST_BYTES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_soon_seen(
    browser: Browser, site: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paints: list[float] = []
    while len(paints) < LOADS and min(paints, default=PAINT_MOST) >= PAINT_MOST:
        context = browser.new_context()  # with an empty cache
        context.request.get(f"{site}/{name}")  # so that the rows are at hand, as for most readers
        page = context.new_page()
        opened(page, f"{site}/{name}")
        first, paint = page.evaluate(TIMES)
        paints.append(paint)
        context.close()
    with capsys.disabled():
        print(
            f"{name or '/'}: first byte after {first:.0f} ms, first contentful paint after {paint:.0f} ms"
        )
    assert min(paints) < PAINT_MOST, paints


@pytest.mark.parametrize("name", DECLARED)
def test_a_filter_is_an_address(reader: BrowserContext, site: str, name: str) -> None:
    page = reader.new_page()
    seen = watched(page)
    opened(page, f"{site}/{name}")
    before, marks = tables(page), page.evaluate(DRAWN)
    box = page.locator("form.filters select").first
    column = box.get_attribute("name") or ""
    wanted = box.locator("option:not([selected])").last.get_attribute("value") or ""
    box.select_option(wanted)
    page.locator("form.filters button").click()
    ready(page)
    assert parse_qs(urlsplit(page.url).query)[column] == [wanted]
    assert page.locator(f"select[name={column}]").input_value() == wanted
    assert tables(page) != before
    followed = {
        f"chart-{c.name}" for c in page_of(name).charts if column in c.filters and not c.needs
    }
    drawn = page.evaluate(DRAWN)
    assert followed
    assert {chart for chart in marks if drawn.get(chart) != marks[chart]} == followed
    assert page.evaluate(EMPTY_CHARTS) == []
    assert seen.faults(site) == []
    page.locator("form.filters a").click()
    ready(page)
    assert tables(page) == before


NEEDED = [(name, chart.name) for name in DECLARED for chart in page_of(name).charts if chart.needs]


@pytest.mark.parametrize(("name", "chart"), NEEDED)
def test_a_chart_that_waits_is_drawn_for_a_choice(
    reader: BrowserContext, site: str, name: str, chart: str
) -> None:
    page = reader.new_page()
    seen = watched(page)
    opened(page, f"{site}/{name}")
    assert page.locator(f"#chart-{chart}").count() == 0
    [needs] = (each.needs for each in page_of(name).charts if each.name == chart)
    page.locator(f"select[name={needs}]").select_option(index=1)
    page.locator("form.filters button").click()
    ready(page)
    assert page.evaluate(DRAWN)[f"chart-{chart}"]
    assert page.evaluate(EMPTY_CHARTS) == []
    assert seen.faults(site) == []


@pytest.mark.parametrize("name", DECLARED)
def test_a_period_is_an_address(reader: BrowserContext, site: str, name: str) -> None:
    page = reader.new_page()
    seen = watched(page)
    opened(page, f"{site}/{name}")
    before = tables(page)
    box = page.locator("input[type=date]").first
    column = box.get_attribute("name") or ""
    box.fill("2020-02-29")
    page.locator(f"input[name='{column.removesuffix('.from')}.to']").fill("2020-03-01")
    page.locator("form.filters button").click()
    ready(page)
    assert parse_qs(urlsplit(page.url).query)[column] == ["2020-02-29"]
    assert box.input_value() == "2020-02-29"
    assert tables(page) != before
    assert "No rows for this choice." in page.inner_text("main")
    assert seen.faults(site) == []


@pytest.mark.parametrize("name", DECLARED)
def test_downloads_are_whole(reader: BrowserContext, site: str, name: str) -> None:
    page = reader.new_page()
    opened(page, f"{site}/{name}")
    addresses = page.eval_on_selector_all(".get a", "links => links.map(link => link.href)")
    assert addresses
    for address in dict.fromkeys(addresses):
        report = urlsplit(address).path.split("/")[4]
        text = reader.request.get(address).text()
        parse = _csv if "format=csv" in address else _ndjson
        rows = parse(text)
        columns = [column.name for column in load_report_definitions()[report].columns]
        assert all(list(row) == columns for row in rows), address
        assert rows or report == "health_dead_letters", address
    with page.expect_download() as saved:
        page.locator(".get a").first.click()
    assert saved.value.suggested_filename.endswith(".csv")
    assert _csv(Path(saved.value.path()).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_everything(reader: BrowserContext, site: str, name: str) -> None:
    page = reader.new_page()
    opened(page, f"{site}/{name}")
    there = page.evaluate(FOCUSABLE)
    reached: dict[int, bool] = {}
    for _ in range(4 * len(there)):
        page.keyboard.press("Tab")
        number, outlined = page.evaluate(FOCUSED)
        if number is None:
            break
        # A field of a date has several stops, the last of which is inside the browser's own button.
        reached[number] = outlined or reached.get(number, False)
    assert [told for number, told in enumerate(there) if number not in reached] == []
    assert [there[number] for number, outlined in reached.items() if not outlined] == []


def test_the_first_key_leads_past_the_menu(reader: BrowserContext, site: str) -> None:
    page = reader.new_page()
    opened(page, f"{site}/{DECLARED[0]}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert urlsplit(page.url).fragment == "main"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", DECLARED)
def test_tables_that_are_unfolded_have_no_fault(
    browser: Browser, site: str, name: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    opened(page, f"{site}/{name}")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert serious_faults(page) == []
    context.close()


@pytest.mark.parametrize("name", DECLARED)
def test_without_scripts_there_are_tables(browser: Browser, site: str, name: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/{name}")
    page.locator("form.filters button").click()
    assert urlsplit(page.url).path == f"/{name}"
    assert page.locator("table tbody tr").count() > 0
    context.close()


STRANGE = {
    "an inline script": ("<script>document.title = 'in'</script>", "Content Security Policy"),
    "an inline style": ("<p style='color: red'>in</p>", "Content Security Policy"),
    "an external image": ("<img src='https://example.org/a.png' alt='in'>", "example.org"),
    "an external script": ("<script src='https://example.org/a.js'></script>", "example.org"),
    "an error": ("<script src='/assets/none.js'></script>", "404"),
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_must_not_be_is_seen(reader: BrowserContext, site: str, what: str) -> None:
    put, told = STRANGE[what]
    page = reader.new_page()
    seen = watched(page)

    def changed(route: object) -> None:
        given = route.fetch()  # type: ignore[attr-defined]
        body = given.text().replace("</main>", f"{put}</main>")
        route.fulfill(response=given, body=body)  # type: ignore[attr-defined]

    page.route(f"{site}/", changed)
    opened(page, f"{site}/")
    assert any(told in fault for fault in seen.faults(site)), seen.faults(site)
    assert page.title() != "in"


def test_a_fault_that_keeps_readers_out_is_seen(reader: BrowserContext, site: str) -> None:
    page = reader.new_page()
    opened(page, f"{site}/")
    page.evaluate("document.querySelector('main').append(document.createElement('select'))")
    assert any(fault.startswith("select-name") for fault in serious_faults(page))


def watched(page: Page) -> Seen:
    """What the browser will do and say from now on."""
    seen = Seen()
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("requestfinished", lambda request: _weighed(seen, request))
    page.on("response", lambda response: _told(seen, response))

    def said(message: object) -> None:
        if message.type == "error":  # type: ignore[attr-defined]
            seen.said.append(message.text)  # type: ignore[attr-defined]

    page.on("console", said)
    return seen


def opened(page: Page, url: str) -> None:
    """Open a page and wait until it is at rest."""
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    ready(page)


def ready(page: Page) -> None:
    """Wait until a page has all it asked for, and each chart is drawn or says why it is not."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(READY)


def picture(page: Page, name: str) -> None:
    """Keep what the whole page looks like."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds that keeps readers out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


def tables(page: Page) -> list[str]:
    """The text of all tables, those that are folded up included."""
    texts: list[str] = page.eval_on_selector_all("tbody", "all => all.map(one => one.textContent)")
    return texts


FOCUSABLE = """() => {
  const all = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
    .filter(one => one.checkVisibility());
  window.focusables = all;
  return all.map(one => one.outerHTML.slice(0, 120));
}"""
FOCUSED = """() => {
  const one = document.activeElement;
  const number = window.focusables.indexOf(one);
  const style = getComputedStyle(one);
  const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  return [number < 0 ? null : number, outlined];
}"""


def _weighed(seen: Seen, request: Request) -> None:
    sizes = request.sizes()
    seen.sizes[request.url] = sizes["responseBodySize"]


def _told(seen: Seen, response: Response) -> None:
    if response.status >= 400:
        seen.said.append(f"{response.status} {response.url}")


def _csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))))


def _ndjson(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]
