"""Verbs that make pages to look at."""

import webbrowser
from typing import Annotated

import typer

from foldwise.cli.console import Name, Root, out, verb
from foldwise.workspace import Workspace


@verb
def report(
    name: Name,
    run: Annotated[
        str, typer.Option(help="A run of NAME, as `foldwise status NAME --runs` lists them.")
    ],
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    root: Root = None,
) -> None:
    """Write a run's report, one HTML file that opens from disk.

    Example: `foldwise report digits --run resnet10-s0-7916cc8d --open`
    """
    from foldwise.reporting.page import write_report

    path = write_report(Workspace.find(root), name, run)
    out.print(f"report  {path}")
    if open_:
        webbrowser.open(path.as_uri())
