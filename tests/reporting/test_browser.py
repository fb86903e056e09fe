"""Pages in a real browser: nothing is fetched, nothing complains, nothing overflows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foldwise.reporting.html.page import write_report
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from reporting.chromium import Tab, opened, program
from reporting.making import write_large
from tiny import copy

pytestmark = pytest.mark.browser

ROWS = "[...document.querySelectorAll('#{} tbody tr')].map(r => r.cells[{}].textContent.trim())"
LOOKS = [
    (1200, False, "screen"),
    (400, False, "screen"),
    (400, True, "screen"),
    (1200, True, "screen"),
    (0, False, "print"),
]
PAPER = {"run": 688, "blend": 688, "history": 1016, "competition": 1016}  # A4 without its margins
# what reaches beyond the page's own width, but for what scrolls within it
OVERFLOW = """[...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll, svg, dialog'))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    browser = program()
    if browser is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    with opened(browser, tmp_path_factory.mktemp("profile")) as made:
        yield made


def open_whole(tab: Tab, page: Path) -> None:
    """Open a page, and all that can be folded out."""
    tab.open(page)
    tab.value("document.querySelectorAll('details').forEach(each => { each.open = true })")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    return write_large(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def pages(
    large: tuple[Workspace, str],
    submitted: tuple[Workspace, Entry],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """The pages of a large run and its competition, and of one with a submission and its blend."""
    workspace, run = large
    other = copy(submitted[0], tmp_path_factory.mktemp("pages"))
    (blend,) = (other.runs / "tiny").glob("blend-*")
    return {
        "run": write_report(workspace, run),
        "history": write_report(workspace, "tiny"),
        "competition": write_report(other, "tiny"),
        "blend": write_report(other, blend.name),
    }


PAGES = pytest.mark.parametrize("name", ["run", "history", "competition", "blend"])


def test_a_large_page_is_below_ten_megabytes(pages: dict[str, Path]) -> None:
    size = pages["run"].stat().st_size
    assert 500_000 < size < 10_000_000  # it does have its images
    assert "The worst and the best 15 of 240 groups." in pages["run"].read_text()


@PAGES
def test_a_page_opens_from_disk_without_a_request_or_a_complaint(
    tab: Tab, pages: dict[str, Path], name: str
) -> None:
    tab.look(1200)
    tab.open(pages[name])
    assert tab.fetched() == [pages[name].as_uri()]
    assert tab.complaints() == []
    assert tab.value("document.querySelectorAll('h2').length") >= 3
    assert tab.value("[...document.images].every(i => i.complete && i.naturalWidth > 1)")


@PAGES
@pytest.mark.parametrize(("width", "dark", "media"), LOOKS)
def test_nothing_overflows(
    tab: Tab, pages: dict[str, Path], name: str, width: int, dark: bool, media: str
) -> None:
    tab.look(width or PAPER[name], dark, media)
    open_whole(tab, pages[name])
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    assert tab.value(OVERFLOW) == []


@PAGES
def test_every_table_fits_a_screen_of_1200_pixels(
    tab: Tab, pages: dict[str, Path], name: str
) -> None:
    tab.look(1200)
    open_whole(tab, pages[name])
    assert tab.value("document.querySelectorAll('.scroll > table').length") >= 2
    wide = """[...document.querySelectorAll('.scroll')]
        .filter(e => e.scrollWidth > e.clientWidth).map(e => e.firstElementChild.id)"""
    assert tab.value(wide) == []


def test_the_competitions_page_begins_with_its_scores_over_time(
    tab: Tab, pages: dict[str, Path]
) -> None:
    tab.look(1200)
    for name in ("history", "competition"):
        tab.open(pages[name])
        box = tab.value("document.querySelector('header svg').getBoundingClientRect().toJSON()")
        assert box["top"] < 150
        assert box["width"] > 1100
        cards = "document.querySelector('.numbers').getBoundingClientRect().top"
        assert box["bottom"] <= tab.value(cards)


def test_dark_is_dark_and_paper_is_white(tab: Tab, pages: dict[str, Path]) -> None:
    colours = {}
    for dark, media in ((False, "screen"), (True, "screen"), (True, "print")):
        tab.look(800, dark, media)
        tab.open(pages["run"])
        colours[dark, media] = tab.value("getComputedStyle(document.body).backgroundColor")
    assert colours[False, "screen"] == colours[True, "print"] == "rgb(255, 255, 255)"
    assert colours[True, "screen"] == "rgb(20, 24, 29)"
    assert tab.pdf().startswith(b"%PDF-")


@PAGES
def test_every_header_is_a_button_and_every_image_has_words(
    tab: Tab, pages: dict[str, Path], name: str
) -> None:
    tab.look(1200)
    tab.open(pages[name])
    heads = "[...document.querySelectorAll('thead th')]"
    assert tab.value(f"{heads}.length") > 10
    assert tab.value(f"{heads}.every(th => th.querySelector('button').textContent.trim() !== '')")
    assert tab.value("[...document.images].every(image => image.alt.trim() !== '')")
    figures = "[...document.querySelectorAll('svg')]"
    assert tab.value(f"{figures}.every(each => each.getAttribute('aria-label').length > 10)")


def test_a_click_sorts_by_numbers_and_another_turns_it_round(
    tab: Tab, pages: dict[str, Path]
) -> None:
    tab.look(1200)
    tab.open(pages["run"])
    click = "document.querySelectorAll('#classes th button')[2].click()"
    before = tab.value(ROWS.format("classes", 2))
    assert before == sorted(before, key=float, reverse=True)  # log loss, the worst first
    tab.value(click)
    assert tab.value(ROWS.format("classes", 2)) == sorted(before, key=float)
    sort = "document.querySelectorAll('#classes th')[2].getAttribute('aria-sort')"
    assert tab.value(sort) == "ascending"
    tab.value(click)
    assert tab.value(ROWS.format("classes", 2)) == before
    assert tab.value(sort) == "descending"


def test_what_is_not_known_comes_last_either_way(tab: Tab, pages: dict[str, Path]) -> None:
    tab.look(1200)
    tab.open(pages["history"])
    column = tab.value(
        "[...document.querySelectorAll('#runs th')].findIndex(th => "
        "th.textContent.trim() === 'difference')"
    )
    for _ in range(2):
        tab.value(f"document.querySelectorAll('#runs th button')[{column}].click()")
        values = tab.value(ROWS.format("runs", column))
        assert (len(values), values[-1]) == (2, "-")


def shown(tab: Tab, selector: str) -> Any:
    return tab.value(f"getComputedStyle(document.querySelector('{selector}')).opacity")


def test_an_image_is_enlarged_by_a_click_and_put_back_by_another(
    tab: Tab, pages: dict[str, Path]
) -> None:
    for width in (1200, 400):
        tab.look(width)
        tab.open(pages["run"])
        small = tab.value("document.querySelector('.picture img').getBoundingClientRect().width")
        assert not tab.value("document.getElementById('zoom').open")
        tab.value("document.querySelector('.picture').click()")
        assert tab.value("document.getElementById('zoom').open")
        own = "document.querySelector('#zoom img')"
        assert tab.value(f"{own}.getBoundingClientRect().width") > 1.5 * small
        assert tab.value(f"{own}.getBoundingClientRect().right <= innerWidth")
        assert tab.value(f"{own}.alt === document.querySelector('.picture img').alt")
        tab.value("document.getElementById('zoom').click()")
        assert not tab.value("document.getElementById('zoom').open")


def test_a_button_lays_the_maps_over_the_images(tab: Tab, pages: dict[str, Path]) -> None:
    tab.look(1200)
    tab.open(pages["run"])
    assert tab.value("document.querySelectorAll('#worst-images .map').length") > 0
    assert shown(tab, "#worst-images .map") == "0"
    for pressed, opacity in (("true", "0.65"), ("false", "0")):
        tab.value("document.getElementById('maps').click()")
        assert tab.value("document.getElementById('maps').getAttribute('aria-pressed')") == pressed
        assert shown(tab, "#worst-images .map") == opacity
    sizes = tab.value("""[...document.querySelectorAll('#worst-images .picture')]
        .filter(each => each.children.length === 2)
        .map(each => [...each.children].map(i => i.getBoundingClientRect().toJSON()))""")
    assert len(sizes) == 24
    for image, laid in sizes:  # one lies on the other
        assert image == pytest.approx(laid, abs=0.1)
