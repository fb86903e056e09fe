"""What make says and passes on, and what setup is to install."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLAIN = ["help", "setup", "clean"]
NEED_PYTHON = ["data", "check", "train", "submit", "reproduce", "status", "test", "quick", "lint"]
NEED_PYTHON += ["docs", "docs-serve", "reference", "bench", "backbones", "gpu", "torture"]


def make(*arguments: str) -> str:
    """What make prints, whatever the make that runs the tests was given."""
    env = {"PATH": os.environ["PATH"]}
    return subprocess.check_output(["make", *arguments], cwd=ROOT, env=env, text=True)


def test_make_alone_prints_every_target_with_a_word_about_it() -> None:
    assert (text := make()) == make("help")
    for target in PLAIN + NEED_PYTHON:
        assert re.search(rf"^  {target} +\S", text, re.MULTILINE), target
    assert "make submit COMP=wildlife DRY=1" in text


@pytest.mark.parametrize("target", NEED_PYTHON)
def test_whatever_needs_python_runs_setup_first(target: str) -> None:
    assert make("-n", target).startswith("sh tools/setup.sh\n")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("submit COMP=wildlife DRY=1 ARGS=--verbose", "submit wildlife --dry-run --verbose"),
        ("submit DRY=0", "submit digits"),
        ("data FROM=../zips", 'data digits --from "../zips"'),
        ("check COMP=wildlife", "check wildlife"),
        ("train RECIPE=linear", "train digits --recipe linear"),
        ("reproduce SUB=1-blend.csv", 'reproduce "1-blend.csv"'),
        ("status", "status"),
        ("status COMP=digits", "status digits"),
    ],
)
def test_make_passes_its_variables_on(arguments: str, command: str) -> None:
    line = make("-n", *arguments.split()).splitlines()[-1]
    assert line.split() == [".venv/bin/foldwise", *command.split()]


def test_clean_leaves_data_and_submissions_alone() -> None:
    words = make("-n", "clean").split()
    assert "runs" not in words
    assert not {"data", "submissions", ".venv", "/"} & set(words)


def test_constraints_are_exact_versions_from_no_particular_place() -> None:
    pins = [p for p in (ROOT / "constraints.txt").read_text().splitlines() if p[0] != "#"]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.!+]+", pin)] == []
    assert {"torch==2.15.0", "torchvision==0.29.2"} <= set(pins)
