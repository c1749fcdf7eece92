"""The report in a browser: what the page's script finds, shows and sorts, beside the package's own.

Needs Chromium with its driver, and selenium; nothing is downloaded.
"""

from __future__ import annotations

import base64
import io
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import avalattice as av
from avalattice.canon import OUTPUT, AdjacencyId, NullId
from avalattice.export.report.wording import NULL_WORDS
from avalattice.lattice.avalanches import labels
from avalattice.lattice.rasters import Condition, load_rasters
from avalattice.report import newest_runs
from tests.export.report.conftest import HOSTILE

FLAGS = """
--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking
--disable-component-update --disable-sync --hide-scrollbars --window-size=1280,900
--force-device-scale-factor=1
""".split()
PERMUTED = NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Iterator[Any]:
    """A browser without a window."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    service = shutil.which("chromedriver")
    if binary is None or service is None:
        pytest.skip("there is no Chromium with its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def show(driver, tmp_path_factory) -> Callable[..., Any]:
    """Opens a page at a width, in light or dark; the browser."""

    def opened(page: str, *, width: int = 1280, scheme: str = "light") -> Any:
        path = tmp_path_factory.mktemp("page") / "report.html"
        path.write_text(page, encoding="utf-8")
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        media = {"features": [{"name": n, "value": v} for n, v in wanted.items()]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        driver.get_log("browser")  # of pages before
        driver.get(path.as_uri())
        return driver

    return opened


@pytest.fixture
def shown(show, page) -> Any:
    """The report on two models, open."""
    return show(page)


@pytest.fixture(scope="module")
def measured(store) -> SimpleNamespace:
    """The INSTRUCT model's rasters and its nulls', as the package reads them."""
    runs = {
        run_id.split("_")[1]: run_id for run_id in newest_runs(store) if _instructs(store, run_id)
    }
    stacks = []
    for tag, name in (("S03", OUTPUT.RASTER_NPZ_BASENAME), ("S04", OUTPUT.NULL_NPZ_BASENAME)):
        reader = store.open(runs[tag])
        conditions = tuple(Condition.from_json(entry) for entry in reader.record.conditions)
        stacks.append(load_rasters(reader.path(f"results/{name}"), conditions))
    held_out, nulls = stacks
    return SimpleNamespace(held_out=held_out, nulls=nulls)


def _instructs(store, run_id: str) -> bool:
    return store.open(run_id).record.model.role == "INSTRUCT"


def counts_of(measured, c: int, window: int, null_id: NullId = NullId.NULL_NONE) -> np.ndarray:
    """The raster that the explorer shows for a condition, window and null."""
    if null_id is NullId.NULL_NONE:
        return np.asarray(measured.held_out.A[c, window])
    wanted = measured.held_out.conditions[c]
    for n, condition in enumerate(measured.nulls.conditions):
        same = ("spike_def_id", "target_label", "gain")
        if condition.null_id is null_id and all(
            getattr(condition, name) == getattr(wanted, name) for name in same
        ):
            return np.asarray(measured.nulls.A[n, window])
    raise AssertionError(null_id)


def choose(driver, element_id: str, value: object) -> None:
    """Choose an option by its value."""
    from selenium.webdriver.support.select import Select

    Select(driver.find_element("id", element_id)).select_by_value(str(value))


def choose_adjacency(driver, adjacency: AdjacencyId) -> None:
    place = list(AdjacencyId).index(adjacency)
    driver.find_element("css selector", f"#pick-adjacency input[value='{place}']").click()


def point_at(driver, layer: int, t: int, shape: tuple[int, int]) -> str:
    """Move the pointer to the middle of a site; what the tooltip says."""
    from selenium.webdriver.common.action_chains import ActionChains

    canvas = driver.find_element("id", "raster")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    width, height = canvas.size["width"], canvas.size["height"]
    x = (t + 0.5) / shape[1] * width - width / 2
    y = (shape[0] - layer - 0.5) / shape[0] * height - height / 2
    ActionChains(driver).move_to_element_with_offset(canvas, round(x), round(y)).perform()
    return driver.find_element("id", "tip").text


def words_of(A: np.ndarray, adjacency: AdjacencyId, layer: int, t: int) -> str:
    """What the tooltip should say of a site after its token, from the package's own avalanches."""
    if A[layer, t] == 0:
        return "A 0: no event"
    table = av.avalanches(A, adjacency)
    i = labels(A, adjacency)[layer, t] - 1
    sites = "site" if table.n_sites[i] == 1 else "sites"
    border = ", touches the border" if table.touches_border[i] else ""
    return (
        f"A {A[layer, t]}; avalanche {i}: S {table.size[i]:,} events on {table.n_sites[i]} "
        f"{sites}, D {table.span_tokens[i]} tokens, H {table.span_layers[i]} layers{border}"
    )


# ------------------------------------------------------------------------------- the page itself


def test_the_page_loads_nothing_and_complains_of_nothing(shown):
    """No request but the file's own, and an empty console: the policy stops no part of the page."""
    assert shown.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert [entry["message"] for entry in shown.get_log("browser")] == []
    assert shown.execute_script("return document.querySelectorAll('section').length") == 8


def test_the_policy_stops_a_script_that_was_put_in(show, page):
    """Control: a script added to the page does not run, and the console says so."""
    browser = show(page.replace("<footer>", "<script>window.hit = 1</script><footer>"))
    assert browser.execute_script("return window.hit") is None
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]


def test_text_of_runs_runs_nothing(show, hostile_page):
    """Of names, notes and tokens with markup, nothing runs, and the tooltip shows them as text."""
    browser = show(hostile_page)
    assert point_at(browser, 0, 0, (5, 12)) != ""
    token = browser.find_element("css selector", "#tip .token")
    assert token.get_attribute("textContent") == HOSTILE.replace(" ", "␣")
    assert browser.execute_script("return window.hit") is None
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_no_page_is_wider_than_the_screen(show, page, width):
    """Also on a phone only tables, graph and raster scroll sideways, within themselves."""
    browser = show(page, width=width)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert browser.execute_script("return window.innerWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(show, page, scheme):
    """Text and muted text have a contrast of 4.5 and more (WCAG AA); dark mode is dark."""
    browser = show(page, scheme=scheme)
    paper = _luminance(browser, "body", "background-color")
    assert (paper < 0.1) == (scheme == "dark")
    for selector in ("body", ".muted", "nav a", ".badge.not_supported", ".badge.not_assessable"):
        ink = _luminance(browser, selector, "color")
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5, selector


def _luminance(browser, selector: str, name: str) -> float:
    value = browser.execute_script(
        "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]",
        selector,
        name,
    )
    channels = np.array([float(part) for part in value[4:-1].split(",")]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("section", ["tables", "pipeline"])
def test_the_menu_leads_to_what_it_names(show, page, section):
    """A section stands at the top once its link was followed, with pictures of full size above."""
    from PIL import Image

    large = io.BytesIO()
    Image.new("P", (1420, 1000)).save(large, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(large.getvalue()).decode()}"
    text, n_pictures = re.subn(r"data:image/png;base64,[^\"]+", source, page)
    assert n_pictures > 4
    driver = show(text)
    driver.find_element("css selector", f"nav a[href='#{section}']").click()
    time.sleep(0.5)  # what would be moved by pictures that are drawn late
    place = f"document.getElementById('{section}').getBoundingClientRect().top"
    assert 0 <= driver.execute_script(f"return {place}") < 100


def test_printing_unfolds_everything(shown):
    """Before printing all but the meanings of columns is unfolded, and folded again after."""
    folded = "return document.querySelectorAll('details:not([open], .meanings)').length"
    before = shown.execute_script(folded)
    assert before > 5
    shown.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert shown.execute_script(folded) == 0
    shown.execute_script("dispatchEvent(new Event('afterprint'))")
    assert shown.execute_script(folded) == before


# ----------------------------------------------------------------------------------- avalanches


@pytest.mark.parametrize("adjacency", AdjacencyId)
@pytest.mark.parametrize("occupancy", [0.0, 0.1, 0.4, 0.6, 0.9, 1.0])
def test_the_script_finds_the_package_s_avalanches(shown, adjacency, occupancy):
    """Labels and every column equal those of ``av.avalanches`` on random rasters."""
    rng = np.random.default_rng(int(occupancy * 100))
    for shape in ((1, 9), (7, 1), (9, 23), (12, 40)):
        A = rng.integers(1, 400, size=shape) * (rng.random(shape) < occupancy)
        found = shown.execute_script(
            "const {labels, found} = findAvalanches(...arguments);"
            "return [[...labels], found.map((one) => [one.size, one.sites, one.D, one.H,"
            " one.tMin, one.tMax, one.lMin, one.lMax, one.border])]",
            A.reshape(-1).tolist(),
            *shape,
            adjacency is AdjacencyId.ADJ_8N,
        )
        table = av.avalanches(A, adjacency)
        names = "size n_sites span_tokens span_layers t_min t_max l_min l_max touches_border"
        columns = [getattr(table, name).tolist() for name in names.split()]
        assert found[0] == labels(A, adjacency).reshape(-1).tolist()
        assert found[1] == [list(row) for row in zip(*columns, strict=True)]


def test_avalanches_that_touch_have_two_colours(shown):
    """Within two sites of each other, no two avalanches of several sites share a colour."""
    A = np.random.default_rng(1).random((20, 60)) < 0.3
    colours = shown.execute_script(
        "const [A, l, t] = arguments; const {labels, found} = findAvalanches(A, l, t, false);"
        "return [...colourAvalanches(labels, found, l, t, 7)]",
        A.astype(int).reshape(-1).tolist(),
        *A.shape,
    )
    painted, table = labels(A), av.avalanches(A)
    assert {c for c, n in zip(colours, table.n_sites, strict=True) if n == 1} == {-1}
    assert {c for c, n in zip(colours, table.n_sites, strict=True) if n > 1} <= set(range(7))
    for layer, t in np.argwhere(A):
        near = painted[max(layer - 2, 0) : layer + 3, max(t - 2, 0) : t + 3]
        here = colours[painted[layer, t] - 1]
        others = {colours[i - 1] for i in np.unique(near) if i not in (0, painted[layer, t])}
        assert here == -1 or here not in others


def test_every_raster_of_the_explorer_is_the_run_s(shown, measured):
    """Counts in the page equal those in the files, for each condition, null and window."""
    for c in range(len(measured.held_out.A)):
        choose(shown, "pick-condition", c)
        for null_id in (NullId.NULL_NONE, PERMUTED):
            choose(shown, "pick-null", null_id)
            for window in (0, 5):
                choose(shown, "pick-window", window)
                A = shown.execute_script("return [...explorer.A]")
                assert counts_of(measured, c, window, null_id).reshape(-1).tolist() == A


def test_no_more_than_six_windows_are_offered(shown, measured):
    """Of eight windows the first six can be chosen, and the page says of how many."""
    options = shown.find_elements("css selector", "#pick-window option")
    assert measured.held_out.A.shape[1] == 8
    assert [option.text.split(":")[0] for option in options] == [f"{n} of 8" for n in range(1, 7)]


# ------------------------------------------------------------------------------------- pointing


@pytest.mark.parametrize("adjacency", AdjacencyId)
@pytest.mark.parametrize("null_id", [NullId.NULL_NONE, PERMUTED])
def test_the_tooltip_says_what_stands_at_a_site(shown, measured, store, adjacency, null_id):
    """t, l, word, A, S, D and H of a site are those of the run's raster, window and avalanches."""
    choose(shown, "pick-condition", 2)
    choose(shown, "pick-window", 3)
    choose(shown, "pick-null", null_id)
    choose_adjacency(shown, adjacency)
    A = counts_of(measured, 2, 3, null_id)
    occupied, empty = np.argwhere(A > 0), np.argwhere(A == 0)
    for layer, t in (*occupied[:: max(1, len(occupied) // 4)].tolist(), empty[0].tolist()):
        said = point_at(shown, layer, t, A.shape)
        place, _, rest = said.partition(" A ")
        assert place.startswith(f"t {t}, l {layer} ")
        assert f"A {rest}" == words_of(A, adjacency, layer, t)
        word = place.removeprefix(f"t {t}, l {layer} ")
        tokens = ("The", "␣cat", "⏎", "␣sat")
        has_words = NULL_WORDS[null_id].has_words
        assert word == (tokens[(3 + t) % 4] if has_words else "(no word under this null)")


def test_adjacency_and_null_change_what_is_said(shown, measured):
    """Control: some site has other avalanches under the other adjacency and under the null."""
    A, permuted = counts_of(measured, 2, 3), counts_of(measured, 2, 3, PERMUTED)
    four, eight = AdjacencyId
    sites = np.argwhere((A > 0) & (permuted > 0)).tolist()
    assert any(words_of(A, four, layer, t) != words_of(A, eight, layer, t) for layer, t in sites)
    assert any(
        words_of(A, four, layer, t) != words_of(permuted, four, layer, t) for layer, t in sites
    )


def test_the_largest_avalanches_are_listed(shown, measured):
    """The list holds number, S, sites, D and H of the eight largest, largest first."""
    A = counts_of(measured, 1, 0)
    choose(shown, "pick-condition", 1)
    rows = shown.find_elements("css selector", "#largest tbody tr")
    table = av.avalanches(A)
    order = np.lexsort((table.avalanche_id, -table.size))[:8]
    expected = [
        f"{i} {table.size[i]} {table.n_sites[i]} {table.span_tokens[i]} {table.span_layers[i]} "
        + ("yes" if table.touches_border[i] else "no")
        for i in order
    ]
    assert [row.text for row in rows] == expected


def test_the_keyboard_reaches_every_site(shown, measured):
    """Arrows, with Shift by ten, Home and End move through the raster; Escape leaves it."""
    from selenium.webdriver.common.keys import Keys

    A = counts_of(measured, 0, 0)
    choose(shown, "pick-condition", 0)
    canvas, readout = (shown.find_element("id", name) for name in ("raster", "readout"))
    n_layers, n_tokens = A.shape
    for keys, layer, t in (
        (Keys.ARROW_RIGHT, 0, 0),
        (Keys.ARROW_RIGHT * 2, 0, 2),
        (Keys.ARROW_UP * 3, 3, 2),
        (Keys.END, 3, n_tokens - 1),
        (Keys.ARROW_RIGHT, 3, n_tokens - 1),
        (Keys.SHIFT + Keys.ARROW_LEFT + Keys.NULL, 3, n_tokens - 11),
        (Keys.ARROW_UP * 9, n_layers - 1, n_tokens - 11),
        (Keys.HOME + Keys.ARROW_DOWN, n_layers - 2, 0),
    ):
        canvas.send_keys(keys)
        assert readout.text.startswith(f"t {t}, l {layer} ")
        assert readout.text.endswith(words_of(A, AdjacencyId.ADJ_4N, layer, t))
    canvas.send_keys(Keys.ESCAPE)
    assert readout.text.startswith("Point at a site")


def test_the_other_model_can_be_chosen(shown):
    """With two models the explorer offers both, each with conditions of its own."""
    choose(shown, "pick-model", 1)
    assert shown.execute_script("return explorer.model.role") == "BASE"
    assert len(shown.find_elements("css selector", "#pick-condition option")) == 8


def test_a_phone_scrolls_the_raster_within_itself(show, page):
    """On a phone a tapped site is read out below the raster."""
    browser = show(page, width=360)
    canvas = browser.find_element("id", "raster")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    canvas.click()
    assert browser.find_element("id", "readout").text.startswith("t ")


# --------------------------------------------------------------------------------------- tables


def column(browser, table: str, heading: str) -> tuple[Any, Callable[[], list[str]]]:
    """The button that heads a column, and its cells' exact values (None for a dash) as shown."""
    box = browser.find_element("id", table)
    browser.execute_script("arguments[0].open = true; arguments[0].scrollIntoView()", box)
    heads = box.find_elements("css selector", "thead button")
    place = [head.text for head in heads].index(heading)

    def cells() -> list[str]:
        return browser.execute_script(
            "return [...arguments[0].querySelectorAll('table.data tbody tr')]"
            ".filter((row) => !row.hidden).map((row) => row.cells[arguments[1]])"
            ".map((cell) => cell.matches('.null') ? null : cell.title || cell.textContent)",
            box,
            place,
        )

    return heads[place], cells


@pytest.mark.parametrize("heading", ["χ", "b_tot", "target", "avalanches"])
def test_a_column_is_sorted_as_numbers(shown, heading):
    """By value, not by text; again the other way; dashes stay last; the heading says which way."""
    button, cells = column(shown, "T01_SUMMARY", heading)
    head = button.find_element("xpath", "..")
    before = cells()
    numbers = sorted(float(value.split(" ")[0]) for value in before if value is not None)
    dashes = [None] * before.count(None)
    assert bool(dashes) == (heading == "χ")
    for direction, expected in (("ascending", numbers), ("descending", numbers[::-1])):
        button.click()
        after = [None if value is None else float(value.split(" ")[0]) for value in cells()]
        assert after == [*expected, *dashes]
        assert head.get_attribute("aria-sort") == direction


def test_a_column_is_sorted_with_the_keyboard(shown):
    """Enter on a heading sorts by text; only one heading says that it sorts."""
    from selenium.webdriver.common.keys import Keys

    button, cells = column(shown, "T06_ABLATIONS", "gain on")
    button.send_keys(Keys.ENTER)
    assert cells() == sorted(cells())
    other, _ = column(shown, "T06_ABLATIONS", "χ")
    other.send_keys(Keys.ENTER)
    assert len(shown.find_elements("css selector", "#T06_ABLATIONS [aria-sort]")) == 1


def test_filtering_leaves_the_rows_that_hold_every_word(shown):
    """Rows without the words are hidden, and counted; an empty filter shows all."""
    _, cells = column(shown, "T01_SUMMARY", "windows")
    everything = cells()
    field = shown.find_element("css selector", "#T01_SUMMARY input")
    field.send_keys("held one-sided")
    assert set(cells()) == {"raster"}
    count = shown.find_element("css selector", "#T01_SUMMARY .count").text
    assert count == f"{len(cells())} of {len(everything)} rows"
    field.clear()
    field.send_keys(" ")
    assert cells() == everything


def test_all_columns_can_be_shown(shown):
    """At first the leading columns are shown; the button shows the others, and hides them again."""
    box = shown.find_element("id", "T01_SUMMARY")
    heads = box.find_elements("css selector", "thead th")
    leads = int(box.find_element("css selector", "table.data").get_attribute("data-leads"))
    button = box.find_element("css selector", "button.more")
    assert f"All {len(heads)} columns" == button.text
    for expected in (leads, len(heads), leads):
        assert sum(head.is_displayed() for head in heads) == expected
        button.click()


def test_a_tapped_cell_says_what_it_holds(shown):
    """A dash says why there is no number, below the table, also without a pointer that hovers."""
    column(shown, "T01_SUMMARY", "χ")
    shown.find_element("css selector", "#T01_SUMMARY td.null").click()
    exact = shown.find_element("css selector", "#T01_SUMMARY .exact")
    assert exact.text == "χ: fewer than two windows"


def test_a_figure_is_enlarged_and_closed(shown):
    """A figure opens in a dialog with its words, and Escape closes it."""
    from selenium.webdriver.common.keys import Keys

    shown.find_element("css selector", "#F05_GSTAR_SELECTION button").send_keys(Keys.ENTER)
    dialog = shown.find_element("id", "enlarged")
    assert dialog.is_displayed()
    assert "g*" in dialog.find_element("css selector", "img").get_attribute("alt")
    dialog.find_element("css selector", "button").send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()


def test_a_link_unfolds_the_run_that_it_leads_to(shown, store):
    """A run's box in the graph leads to its folded record, and unfolds it."""
    run_id = newest_runs(store)[0]
    assert shown.execute_script(f"return document.getElementById('{run_id}').open") is False
    shown.execute_script(f"location.hash = '{run_id}'")
    assert Path(shown.current_url).name == f"report.html#{run_id}"
    assert shown.execute_script(f"return document.getElementById('{run_id}').open") is True
