"""Verbs that make pages to look at."""

import webbrowser
from typing import Annotated

import typer

from foldwise.cli.console import LOOK, Root, complete_names, out, verb
from foldwise.workspace import Workspace


@verb(LOOK)
def report(
    name: Annotated[
        str,
        typer.Argument(
            help="A competition, or a run or blend by its own name.", autocompletion=complete_names
        ),
    ],
    run: Annotated[
        str | None, typer.Option(help="A run or blend of NAME, where NAME is a competition.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    root: Root = None,
) -> None:
    """Write the report of a competition, a run or a blend, one HTML file that opens from disk.

    Example: `foldwise report digits --open`
    """
    from foldwise.reporting.html.page import write_report

    path = write_report(Workspace.find(root), name, run)
    out.print(f"report  {path}")
    if open_:
        webbrowser.open(path.as_uri())
