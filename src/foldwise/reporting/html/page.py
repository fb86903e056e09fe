"""Reports: one HTML file of a run, a blend or a competition, that opens from disk."""

from collections.abc import Mapping
from pathlib import Path

from foldwise.errors import RunError, SpecError, nearest
from foldwise.reporting.headline import Head, headline_rows
from foldwise.reporting.html import figures
from foldwise.reporting.html.competing import CompetitionPage, gather_competition
from foldwise.reporting.html.gathering import RunPage, gather
from foldwise.reporting.html.words import TERMS, header
from foldwise.store.files import write_text
from foldwise.store.layout import all_runs, runs_of
from foldwise.workspace import Workspace


def write_report(workspace: Workspace, name: str, run: str | None = None) -> Path:
    """Write the page of a competition, or of a run or blend, into its directory; returns the file.

    name: a competition, or, where no run is given, a run's or blend's own name.
    Raises: SpecError, RunError: see `locate`, and `gather`. DataError: see `gather_competition`.
    """
    name, run = (name, run) if run else locate(workspace, name)
    workspace.competition(name)
    folder = runs_of(workspace, name)
    path = folder.run(run).report if run else folder.report
    if run:
        write_text(path, run_page(gather(workspace, name, run)))
    else:
        write_text(path, competition_page(gather_competition(workspace, name)))
    return path


def locate(workspace: Workspace, word: str) -> tuple[str, str | None]:
    """The competition and the run or blend that a word names; None for a competition itself.

    Raises: SpecError: it names neither. RunError: several competitions have a run of this name.
    """
    if word in workspace.names():
        return word, None
    runs = [
        (folder.name, each.name)
        for folder in all_runs(workspace)
        for each in (*folder.runs(), *folder.blends())
    ]
    found = sorted(name for name, run in runs if run == word)
    if len(found) > 1:
        raise RunError(
            f"expected one run called {word!r}, but {' and '.join(found)} have one each; say "
            f"which: foldwise report {found[0]} --run {word}"
        )
    if not found:
        known = [*workspace.names(), *(run for _, run in runs)]
        raise SpecError(f"no competition or run is called {word!r}{nearest(word, known)}")
    return found[0], word


def run_page(told: RunPage) -> str:
    """The page of what `gather` tells."""
    if blend := told["blend"]:
        members = [
            {**row, "interval": _interval(row["low"], row["high"])}
            for row in blend["members_table"]
        ]
        shown: Mapping[str, object] = {**told, "blend": {**blend, "members_table": members}}
    else:
        shown = told
    return _render(
        "run.html.j2",
        shown,
        told["headline"],
        curves=figures.curves(told["folds"]),
        rates=figures.rates(told["rates"]["rows"]) if told["rates"] else None,
        finder=figures.finder(told["finder"]),
        reliability=figures.reliability(told["reliability"]),
        sweep=figures.sweep(told["sweep"], told["summary"]["metric"]),
    )


def competition_page(told: CompetitionPage) -> str:
    """The page of what `gather_competition` tells."""
    tables = {
        "submissions": [
            {
                **row,
                "date": (row["created"] or "")[:16].replace("T", " "),
                "local_interval": _interval(row["local_low"], row["local_high"]),
                "expected_interval": _interval(row["expected_low"], row["expected_high"]),
                "place": f"{row['rank']} of {row['teams']}" if row["rank"] else None,
            }
            for row in told["submissions"]
        ],
        "blends": [
            {**row, "interval": _interval(row["low"], row["high"])} for row in told["blends"]
        ],
    }
    return _render(
        "competition.html.j2",
        {**told, **tables},
        told["headline"],
        over_time=figures.over_time(told["submissions"], told["metric"], told["history"]),
        boards=figures.boards(told["submissions"], told["metric"]),
    )


def _render(
    template: str, told: Mapping[str, object], head: Head | None, **drawn: str | None
) -> str:
    """The page of a template. head: becomes its cards. drawn: figures, as SVG."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("foldwise", "reporting/html/pages")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": format_value, "exact": exact}
    environment.globals |= {"header": header, "TERMS": TERMS}
    told = {**told, "cards": headline_rows(head) if head else []}
    return environment.get_template(template).render(told=told, drawn=drawn)


def _interval(low: object, high: object) -> str | None:
    """An interval as a table shows it; None where it is not known."""
    return None if low is None else f"{format_value(low)} to {format_value(high)}"


def format_value(value: object) -> str:
    """A value as the page shows it: five digits at most, a dash for what is not known."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value and abs(value) < 0.001:
            return f"{value:.1e}"
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value)) or "-"
    return str(value)


def exact(value: object) -> str:
    """A setting's value as it was written."""
    return f"{value:g}" if isinstance(value, float) else format_value(value)
