"""The words of pages: tooltips say what the glossary says."""

import re
from pathlib import Path

import pytest

from foldwise.reporting.html.words import HEADERS, TERMS, header

GLOSSARY = Path(__file__).resolve().parents[2] / "docs" / "glossary.md"


@pytest.mark.parametrize("term", sorted(TERMS))
def test_every_term_with_a_tooltip_stands_in_the_glossary(term: str) -> None:
    marked = {word.lower() for word in re.findall(r"\*{1,2}([^*\n]+)\*{1,2}", GLOSSARY.read_text())}
    assert term.lower() in marked


def test_headers_name_terms_that_have_a_meaning() -> None:
    assert {term for _, term in HEADERS.values() if term} <= {*TERMS}
    assert header("runs", "run") == ("run", TERMS["run"])
    assert header("runs", "error") == ("std. error", TERMS["standard error"])
    assert header("submissions", "error") == ("message", "")
    assert header("anything", "some_column") == ("some column", "")
