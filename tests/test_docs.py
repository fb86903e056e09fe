"""The documentation: its links lead somewhere, its pages are in the site, its commands work."""

import re
import shlex
import shutil
import tomllib
import unicodedata
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.config.recipe import Recipe, SizedRecipe

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
MARK = "<!-- runnable -->"


def tokens_of(page: Path) -> list[Token]:
    """The parts of a page, those inside its paragraphs as well."""
    found = MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
    return [part for token in found for part in (token, *(token.children or ()))]


def links_of(page: Path) -> list[str]:
    """What a page's links and images name, in Markdown or HTML, outside of code."""
    found = []
    for token in tokens_of(page):
        found += [str(token.attrs[key]) for key in ("href", "src") if key in token.attrs]
        if token.type in ("html_block", "html_inline"):
            found += re.findall(r'(?:href|src|srcset)="([^"\s]+)', token.content)
    return found


def anchors_of(page: Path) -> set[str]:
    """What may follow `#` in a link to a page: of a page of the site as the site makes it, else as
    GitHub does, from its headings; and ids that the page gives itself."""
    tokens = tokens_of(page)
    found = set(re.findall(r'(?:id|name)="([^"]+)"', page.read_text(encoding="utf-8")))
    for heading, text in pairwise(tokens):
        if heading.type == "heading_open":
            own = re.search(r"\{ *#([\w-]+)", text.content)
            found.add(own[1] if own else slug(plain(text), DOCS in page.parents))
    return found


def plain(text: Token) -> str:
    """The words of a heading without its marks."""
    return "".join(part.content for part in text.children or ())


def slug(heading: str, site: bool) -> str:
    """A heading as the end of an address: as Python-Markdown makes it, else as GitHub does."""
    if not site:
        return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    letters = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", letters).strip().lower())


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere in this repository."""
    found = []
    for link in links_of(page):
        path, _, anchor = unquote(link).partition("#")
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        known = target.exists() and (ROOT in target.parents or target == ROOT)
        if not known or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            found.append(link)
    return found


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *PAGES]
    assert sum(len(links_of(page)) for page in pages) > 5
    assert [(page.name, link) for page in pages for link in broken(page)] == []


def test_a_link_that_leads_nowhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path.resolve())
    page = tmp_path.resolve() / "page.md"
    page.write_text(
        "# A heading: `code`, more\n\n[a](gone.md) [b](#a-heading-code-more) [c](#other)\n"
        '[d](page.md#no) [e](https://a.b) ![f](gone.png)\n\n<img src="lost.png">\n\n`[g](no.md)`\n'
    )
    assert broken(page) == ["gone.md", "#other", "page.md#no", "gone.png", "lost.png"]


def pages_in(nav: object) -> Iterator[str]:
    """The pages that a navigation names, in order."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_in(part)


def test_every_page_is_in_the_navigation_of_the_site_once() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(pages_in(nav)) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def commands_of(page: Path) -> list[str]:
    """The commands of a page's code blocks that `<!-- runnable -->` stands before: in a block of
    `console` the lines after `$`, in others all."""
    found = []
    tokens = tokens_of(page)
    for before, token in pairwise(tokens):
        if token.type == "fence" and before.type == "html_block" and MARK in before.content:
            lines = token.content.splitlines()
            if token.info.split()[:1] == ["console"]:
                lines = [line[2:] for line in lines if line.startswith("$ ")]
            found += [line for line in lines if line and not line.startswith("#")]
    return found


RUNNABLE = [page for page in [ROOT / "README.md", *PAGES] if commands_of(page)]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_that_are_marked_as_runnable_work(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "competitions", tmp_path / "competitions")
    monkeypatch.chdir(tmp_path)
    commands = commands_of(page)
    assert commands
    for command in commands:
        program, *words = shlex.split(command, comments=True)
        assert program == "foldwise", f"{command}: only commands of foldwise can be marked"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{command}: {done.output}{done.exception or ''}"


def toml_of(name: str) -> list[dict[str, object]]:
    """The TOML blocks of a page below docs/."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]


def test_the_guides_examples_are_a_valid_competition_and_recipe() -> None:
    spec, recipe = toml_of("how-to/describe-a-competition.md")[0], toml_of("how-to/recipes.md")
    birds = parse(CompetitionSpec, {"name": "birds", **spec}, "guide")
    assert birds.submit.blend.method == "mean"
    assert parse(SizedRecipe, {"name": "baseline", **recipe[0]}, "guide").cache_sizes == (
        (288, 288),
    )
    fine_tune = {**recipe[0], **recipe[1], "head": "fastai"}
    assert len(parse(Recipe, {"name": "tuned", **fine_tune}, "guide").stage) == 2
    assert parse(Recipe, {"name": "student", **recipe[0], **recipe[2]}, "guide").pseudo is not None


COMMAND = re.compile(r"^(?:.*/)?foldwise +([a-z]+)\b(.*)")
VERBS = [verb.name or getattr(verb.callback, "__name__", "") for verb in app.registered_commands]


def named_in_code(page: Path) -> Iterator[tuple[str, str]]:
    """The verbs of foldwise that a page's code names, each with what follows it on its line."""
    for token in tokens_of(page):
        if token.type in ("fence", "code_inline"):
            for line in token.content.splitlines():
                if found := COMMAND.match(line):
                    yield found[1], found[2].split("#")[0]


def test_commands_in_the_documentation_have_the_verbs_and_options_that_they_name() -> None:
    known = {verb: CliRunner().invoke(app, [verb, "--help"]).output for verb in VERBS}
    named = [(page, *found) for page in PAGES for found in named_in_code(page)]
    assert len(named) > 50
    assert [(page.name, verb) for page, verb, _ in named if verb not in known] == []
    assert [
        (page.name, verb, option)
        for page, verb, rest in named
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest)
        if not re.search(rf"{option}\b", known[verb])
    ] == []


def test_the_classes_that_the_guide_to_adapters_names_are_there() -> None:
    guide = (ROOT / "docs" / "how-to" / "adapter.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| ([^|]+ in `foldwise\.[\w.]+`)", guide, re.MULTILINE)
    assert len(rows) >= 8
    for row in rows:
        *classes, module = re.findall(r"`([\w.]+)`", row)
        assert classes
        assert [name for name in classes if not hasattr(import_module(module), name)] == []
