"""Verbs about submissions: submit, status."""

from typing import Annotated, Any

import typer

from foldwise import printing
from foldwise.cli.console import AsJson, Name, Root, err, say, show, tell, verb
from foldwise.workspace import Workspace


@verb
def submit(
    name: Name,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stop before the upload: write, validate, score.")
    ] = False,
    root: Root = None,
) -> None:
    """Do the main job: train, blend, write, validate, score, send, enter in the ledger.

    What is done already is skipped. Example: `foldwise submit digits`
    """
    from foldwise import pipeline
    from foldwise.progress import watching

    with watching(err) as (observe, images):
        entry = pipeline.submit(Workspace.find(root), name, dry_run, observe, images)
    say(printing.entry_lines(entry))


@verb
def status(
    name: Annotated[str | None, typer.Argument(help="A competition; all without one.")] = None,
    runs: Annotated[
        bool, typer.Option("--runs", help="Compare the runs of NAME: score, spread, time, noise.")
    ] = False,
    run: Annotated[
        str | None, typer.Option(help="One run of NAME by folds, classes and groups, worst first.")
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show every submission with its local, public and private score and its rank.

    Example: `foldwise status digits --json`
    """
    from foldwise import overview
    from foldwise.scoring.summary import run_summary

    where = Workspace.find(root)
    if name and (run or runs):
        told: Any = run_summary(where, name, run) if run else overview.compare(where, name)
        tell(told, as_json, printing.run_summarised(told) if run else printing.runs_compared(told))
    elif run or runs:
        raise typer.BadParameter(
            "--run and --runs need a competition: foldwise status digits --runs"
        )
    else:
        columns = ["competition", "file", "created", "local", "public", "private", "rank", "state"]
        show(overview.status(where, name), as_json, columns)
