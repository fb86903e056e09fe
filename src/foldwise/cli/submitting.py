"""Verbs about submissions: submit, score, reproduce, status."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from foldwise.cli import printing
from foldwise.cli.console import (
    LOOK,
    SUBMIT,
    AsJson,
    Name,
    NoTrack,
    Recipes,
    Root,
    complete_names,
    err,
    say,
    show,
    tell,
    verb,
)
from foldwise.cli.executing import Address, Executor, open_executor
from foldwise.cli.training import Budget, OfFolds
from foldwise.workspace import Workspace

NameOrFile = Annotated[
    str | None,
    typer.Argument(
        help="A competition (default: all); with --record, a submission file.",
        autocompletion=complete_names,
    ),
]


BlendMethod = Annotated[
    str | None, typer.Option("--blend", help="The blend method, in place of the one in [submit].")
]
Out = Annotated[Path | None, typer.Option(help="Also write the validated file here.")]


@verb(SUBMIT)
def submit(
    name: Name,
    recipe: Recipes = None,
    fold: OfFolds = None,
    budget: Budget = None,
    blend: BlendMethod = None,
    out: Out = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Write, validate and score the file, but do not upload it."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Upload even if the platform already has this file.")
    ] = False,
    resend: Annotated[
        bool,
        typer.Option(
            "--resend", help="Upload even if it is unclear whether an earlier attempt arrived."
        ),
    ] = False,
    no_track: NoTrack = False,
    executor: Executor = "local",
    address: Address = None,
    root: Root = None,
) -> None:
    """Train, blend, and write, validate, score and upload a submission: the main command.

    Finished work is skipped, and the same file is never uploaded twice. --fold trains one fold; the
    others must be trained already. Exit code 1 where the platform cannot score the file.
    Example: `foldwise submit digits --recipe resnet10 --budget 30m`
    """
    from foldwise.cli.progress import show_progress
    from foldwise.commands.planning import Selection, Session
    from foldwise.commands.status import headline
    from foldwise.commands.submit import Choice
    from foldwise.commands.submit import submit as run
    from foldwise.data.opened import open_competition

    if dry_run and (again or resend):
        given = "--again" if again else "--resend"
        raise typer.BadParameter(f"expected --dry-run, which sends nothing, or {given}, got both")
    folds = tuple(fold) if fold else None
    selection = Selection(recipes=tuple(recipe or ()), folds=folds)
    choice = Choice(
        selection=selection, budget=budget, blend=blend, out=out.expanduser() if out else None
    )
    with open_executor(executor, address) as execute, show_progress(err) as (observe, images):
        competition = open_competition(Workspace.find(root), name)
        session = Session(observe=observe, progress=images, execute=execute, track=not no_track)
        entry = run(competition, dry_run, again, resend, session, choice)
    say(printing.entry_lines(entry))
    say(printing.headline_lines(headline(competition, entry.file)))
    if entry.receipt and entry.receipt.state == "failed":
        raise typer.Exit(1)
    follows = f"foldwise report {name} --open" if entry.receipt else f"foldwise submit {name}"
    say([printing.next_line(follows)])


@verb(SUBMIT)
def score(
    name: Name,
    file: Annotated[Path, typer.Argument(help="A submission file, made by any tool.")],
    truth: Annotated[
        Path | None,
        typer.Option(
            help="The true answers, laid out like the training labels or the format file."
        ),
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Validate any submission file as its platform would, and score it where there is a truth.

    The truth is a practice board's own, or --truth. Nothing is written, and nothing is sent. Exit
    code 1 where the file breaks a rule.
    Example: `foldwise score digits mine.csv`
    """
    from foldwise.commands.score import score_file
    from foldwise.data.opened import open_competition

    told = score_file(open_competition(Workspace.find(root), name), file, truth)
    tell(told, as_json, printing.scored_lines(told))


@verb(SUBMIT)
def reproduce(
    submission: Annotated[str, typer.Argument(help="The name or path of a submission file.")],
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Make a submission again from its manifest, and compare the two files.

    Exit code 1 where answers are different. Runs, submissions and ledger stay as they are.
    Example: `foldwise reproduce 20261122-054120-blend-mean-4107a5c8.csv`
    """
    from foldwise.cli.progress import show_progress
    from foldwise.reproducing import reproduce as again

    with show_progress(err) as (observe, images):
        made = again.reproduce(Workspace.find(root), submission, observe, images)
    tell(asdict(made), as_json, [escape(line) for line in made.lines()])
    if not made.close:
        raise typer.Exit(1)


@verb(LOOK)
def status(
    name: NameOrFile = None,
    runs: Annotated[
        bool, typer.Option("--runs", help="Compare the runs of NAME by score and speed.")
    ] = False,
    run: Annotated[
        str | None,
        typer.Option(help="Show one run or blend of NAME by fold, class and group, worst first."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record the scores that the platform shows for a file.")
    ] = False,
    public: Annotated[float | None, typer.Option(help="Its public score.")] = None,
    private: Annotated[float | None, typer.Option(help="Its private score.")] = None,
    rank: Annotated[int | None, typer.Option(help="Its place on the leaderboard.")] = None,
    teams: Annotated[
        int | None, typer.Option(help="The number of teams on the leaderboard.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask NAME's platform for new scores.")
    ] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Upload offline W&B runs that were not uploaded yet.")
    ] = False,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show submissions with their scores and places; with NAME, how well local scores predict them.

    Example: `foldwise status digits --json`
    """
    from foldwise.commands import status as overview
    from foldwise.submitting import recording

    where, numbers = Workspace.find(root), (public, private, rank, teams)
    if record != any(number is not None for number in numbers) or (record and not name):
        raise typer.BadParameter(
            "--record needs a submission file and its numbers: foldwise "
            "status FILE.csv --record --public 0.48"
        )
    if sync:
        sent, left = overview.sync(where, name)
        say(printing.sync_lines(sent, left))
        raise typer.Exit(1 if left else 0)
    if record and name:
        name = recording.record(where, name, *numbers)
    if name and (run or runs):
        _show_runs(where, name, run, as_json)
    elif run or runs:
        raise typer.BadParameter("--run and --runs need a competition: foldwise status digits")
    elif name:
        standing = overview.read_standing(where, name, ask=not offline)
        tell(standing, as_json, printing.standing_lines(standing))
    else:
        columns = ["competition", "file", "created", "local", "public", "private", "rank", "state"]
        show(overview.status(where), as_json, columns)


def _show_runs(where: Workspace, name: str, run: str | None, as_json: bool) -> None:
    """Show one run of a competition, or all of them side by side."""
    from foldwise.commands.status import compare, summary
    from foldwise.data.opened import open_competition

    competition = open_competition(where, name)
    if run:
        told = summary(competition, run)
        lines = printing.run_summarised(told, told["headline"])
        follows = f"foldwise report {name} --run {run} --open"
        tell(told, as_json, [*lines, printing.next_line(follows)])
    else:
        rows = compare(competition)
        tell(rows, as_json, printing.runs_compared(rows))
