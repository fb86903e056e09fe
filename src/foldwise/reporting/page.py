"""The report of a run: one HTML file that holds all it shows, and opens from disk."""

from pathlib import Path
from typing import Any

from foldwise.reporting import figures
from foldwise.reporting.gathering import gather
from foldwise.storage import write_text
from foldwise.workspace import Workspace

PAGE = "report.html"


def write_report(workspace: Workspace, name: str, run: str) -> Path:
    """Write a run's report into its directory; returns the file.

    Raises: RunError: there is no such run, or none of its folds is done.
    """
    path = workspace.runs / name / run / PAGE
    write_text(path, render(gather(workspace, name, run)))
    return path


def render(told: dict[str, Any]) -> str:
    """The page of what `gather` tells."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("foldwise", "reporting"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["shown"] = shown
    best = next((row for row in told["runs"] if row["score"] is not None), None)
    return environment.get_template("report.html.j2").render(
        **told, best=best, curves=figures.curves(told["folds"]),
        reliability_svg=figures.reliability(told["reliability"]),
        sweep_svg=figures.sweep(told["sweep"], told["summary"]["metric"]),
    )  # fmt: skip


def shown(value: Any) -> str:
    """A value as the page shows it: five digits at most, a dash for what is not known."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"
    return str(value)
