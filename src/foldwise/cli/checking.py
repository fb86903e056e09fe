"""The report of `check`: a line for each part of a competition, then what to do."""

import re
import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.markup import escape

from foldwise.cli.printing import WIDTH, next_line

if TYPE_CHECKING:
    from foldwise.doctor.findings import Findings, Understood

PASSED, DOUBTFUL, FAILED = "[green]✓[/]", "[yellow]![/]", "[bold red]✗[/]"
TEXT_INDENT = 11  # where the text of a line begins: after its mark and the part's name
NAMED = 3  # columns of numbers that are named


def report_lines(findings: "Findings", name: str) -> list[str]:
    """What `check` found in a competition: its parts, each with a mark, and the findings last."""
    facts = findings.facts
    parts = {part: text for part, say in PARTS.items() if (text := say(facts))}
    marks = {part: PASSED for part in parts}
    for kind, mark in ((findings.warnings, DOUBTFUL), (findings.errors, FAILED)):
        for message in kind:
            part = findings.parts.get(message, "Data")
            marks[part] = mark
            parts.setdefault(part, "see below")
    order = [*PARTS]
    lines = []
    for part in sorted(parts, key=order.index):
        lines += _line(marks[part], f"{part:{TEXT_INDENT - 2}}", parts[part], TEXT_INDENT)
    if findings.errors or findings.warnings:
        lines.append("")
    for mark, messages in ((FAILED, findings.errors), (DOUBTFUL, findings.warnings)):
        for message in messages:
            first, *steps = re.split(r"(?<=[:;]) (?=[0-9]\. )", message)
            lines += _line(mark, "", first, 2)
            for step in steps:
                lines += [f"    {line}" for line in _line("", "", step, 3)]
    lines.append("")
    if findings.ok:
        return [*lines, "[green]ready[/]", next_line(f"foldwise train {name} --fast")]
    again = next_line(f"correct what is marked ✗, then foldwise check {name}")
    return [*lines, "[bold red]not ready[/]", again]


def _line(mark: str, title: str, text: str, indent: int) -> list[str]:
    """A text behind a mark and a title, wrapped; a command in backticks stays on one line."""
    whole = re.sub("`[^`]*`", lambda found: found[0].replace(" ", "\xa0"), text)
    room = WIDTH - indent - 4
    wrapped = textwrap.wrap(whole, room, break_long_words=False, break_on_hyphens=False)
    first, *others = [escape(line.replace("\xa0", " ")) for line in wrapped]
    head = f"{mark} [bold]{title}[/]" if title else f"{mark} " if mark else ""
    return [head + first, *(" " * indent + line for line in others)]


def _data(facts: "Understood") -> str:
    if "train_rows" not in facts:
        return ""
    rows = f"{facts['train_rows']:,} training rows, {facts['test_rows']:,} test rows"
    changes = [f"{count:,} {what}" for what, count in facts["changes"].items()]
    return "; ".join([rows, *changes])


def _labels(facts: "Understood") -> str:
    if "task" not in facts:
        return ""
    texts = [facts["task"]]
    if shares := facts.get("classes"):
        most, fewest = max(shares, key=lambda c: shares[c]), min(shares, key=lambda c: shares[c])
        what = "labels" if "labels_per_row" in facts else "classes"
        rare, often = f"{shares[fewest]:.1%}", f"{shares[most]:.1%}"
        spread = f"{often} of the rows each"
        if rare != often:
            spread = f"from {fewest} ({rare} of the rows) to {most} ({often})"
        texts.append(f"{len(shares):,} {what}, {spread}")
    if "labels_per_row" in facts:
        bare = facts["rows_without_label"]
        texts.append(f"{facts['labels_per_row']:.2g} labels per row, {bare:,} rows without one")
    numbers = facts.get("numbers", {})
    for column, told in [*numbers.items()][:NAMED]:
        texts.append(f"{column} {told['low']:g} to {told['high']:g}, mean {told['mean']:g}")
    if len(numbers) > NAMED:
        texts.append(f"{len(numbers)} columns in all")
    return "; ".join(texts)


def _groups(facts: "Understood") -> str:
    groups = facts.get("groups")
    if groups is None:
        return "none" if "task" in facts else ""
    texts = [f"{groups['column']}: {groups['train']:,} in train"]
    if groups["test"] is not None:
        texts[0] += f", {groups['test']:,} in test, {groups['shared']:,} in both"
    if alone := facts.get("group_alone"):
        texts.append(
            f"the {groups['column']} alone gives log loss {alone['log_loss_in_random_folds']} in "
            f"random folds, {alone['log_loss_in_grouped_folds']} in grouped ones "
            f"(class shares: {alone['log_loss_of_class_shares']})"
        )
    return "; ".join(texts)


def _folds(facts: "Understood") -> str:
    texts = []
    for name, made in facts.get("folds", {}).items():
        low, high = made["smallest"], made["largest"]
        rows = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        saved = ", saved" if made["saved"] else ""
        texts.append(f"{name}: {made['n']} folds, {made['kind']}, {rows} rows each{saved}")
    return "; ".join(texts)


def _images(facts: "Understood") -> str:
    seen = facts.get("images")
    if seen is None:
        return ""
    modes = seen["modes"]
    one = len(modes) == 1  # then its count is that of the files
    kinds = ", ".join(mode if one else f"{count:,} {mode}" for mode, count in modes.items())
    sides = (_range(seen["width"]), _range(seen["height"]))
    texts = [f"{seen['files']:,} files, {' by '.join(sides)} px, mode {kinds}"]
    if {*modes} != {facts["image_mode"]}:
        texts.append(f"read as {facts['image_mode']}")
    if levels := facts.get("levels"):
        texts.append(levels)
    if copies := facts.get("copies"):
        found = f"{copies['images']:,} images in {copies['rows']:,} rows"
        texts.append(f"copies: {found}" if copies["images"] else "no copies")
    return "; ".join(texts)


def _range(sides: list[int]) -> str:
    low, high = sides
    return str(low) if low == high else f"{low} to {high}"


def _format(facts: "Understood") -> str:
    told = facts.get("format")
    if told is None:
        return ""
    size = f"{told['rows']:,} rows, {told['columns']:,} columns"
    return f"{told['file']}: {size}, shape {told['shape']}"


def _metric(facts: "Understood") -> str:
    return facts.get("metric", "")


PARTS: Mapping[str, Callable[["Understood"], str]] = {
    "Data": _data,
    "Labels": _labels,
    "Groups": _groups,
    "Folds": _folds,
    "Images": _images,
    "Format": _format,
    "Metric": _metric,
    "Recipes": lambda _: "",  # stands there where one is wrong
}
