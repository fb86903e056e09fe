"""The `foldwise` command: parse, call one function, print."""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from foldwise import printing
from foldwise.errors import FoldwiseError, Interrupted
from foldwise.workspace import Workspace

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="From a competition's raw CSVs to a validated, locally scored, uploaded submission.",
)
WIDE = 200  # columns where the output goes to a file or a pipe
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Name = Annotated[str, typer.Argument(help="A competition: the name of a folder in competitions/.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Root = Annotated[
    Path | None, typer.Option(help="The folder with competitions/ in it; found from here upwards.")
]
Recipes = Annotated[
    list[str] | None, typer.Option("--recipe", help="A recipe; may be given several times.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="A recipe's key=value, e.g. --set stage.0.epochs=3."),
]


def main() -> None:
    """Run the command line."""
    app()


class Lines(logging.Handler):
    """Log records as plain lines on stderr, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; warnings are marked."""
        mark = "[yellow]warning[/] " if record.levelno >= logging.WARNING else ""
        err.print(mark + escape(self.format(record)))


def verb(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function as a verb: it logs to stderr, a user's mistake is one line and exit 1."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[Lines()])
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        logging.getLogger("foldwise").setLevel(logging.INFO)
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            err.print("stopped; the same command goes on with the folds that are not done yet")
            raise typer.Exit(130) from None
        except Interrupted as stop:
            err.print(escape(str(stop)))
            raise typer.Exit(130) from None
        except FoldwiseError as error:
            err.print(f"[bold red]error[/] {escape(' '.join(str(error).split()))}")
            raise typer.Exit(1) from None

    return app.command()(run)


@verb
def list_(root: Root = None, as_json: AsJson = False) -> None:
    """Show the competitions, with their state and best scores.

    Example: `foldwise list`
    """
    from foldwise import overview

    rows = overview.catalogue(Workspace.find(root))
    columns = ["competition", "platform", "task", "metric", "rows", "state", "local", "public"]
    show(rows, as_json, columns)


@verb
def new(
    name: Annotated[str, typer.Argument(help="What to call it: letters, digits, - and _.")],
    source: Annotated[Path, typer.Option("--from", help="The unpacked download.")],
    root: Root = None,
) -> None:
    """Look at a download and draft a competition: competition.toml, a recipe, a README.

    Nothing is overwritten. Example: `foldwise new birds --from downloads/birds`
    """
    from foldwise.drafting.draft import draft

    made = draft(Workspace.find(root), name, source.expanduser())
    say(printing.draft_lines(name, source, made))


@verb
def data(
    name: Name,
    source: Annotated[
        Path | None, typer.Option("--from", help="An archive, a folder or a CSV to add.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Write the training labels to this CSV: path,label.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear-cache", help="Remove cached images; they can be rebuilt.")
    ] = False,
    root: Root = None,
) -> None:
    """Bring a competition's files into data/NAME/raw, unpacked and verified.

    Example: `foldwise data leaf --from leaf-classification.zip`
    """
    from foldwise import pipeline

    if clear:
        number, freed = pipeline.clear_cache(Workspace.find(root), name)
        out.print(f"{number} image caches removed, {freed / 1e9:.2f} GB freed")
        return
    source = source.expanduser() if source else None
    facts = pipeline.get_data(Workspace.find(root), name, source, labels)
    say(printing.data_lines(name, facts))


@verb
def check(name: Name, root: Root = None, as_json: AsJson = False) -> None:
    """Check every path, column, class and number, and say what was understood.

    Exit code 1 where something would stop a run. Example: `foldwise check wildlife`
    """
    from foldwise import doctor
    from foldwise.progress import watching

    with watching(err) as (_, images):
        findings = doctor.check(Workspace.find(root), name, images)
    tell(findings.document(), as_json, printing.findings_lines(findings))
    if not findings.ok:
        raise typer.Exit(1)


@verb
def train(
    name: Name,
    recipe: Recipes = None,
    fold: Annotated[
        list[int] | None, typer.Option(help="Train this fold alone; may be given several times.")
    ] = None,
    scheme: Annotated[
        str | None, typer.Option(help="A fold scheme other than that of [submit].")
    ] = None,
    set_: Overrides = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Does everything run? A few batches; nothing is kept.")
    ] = False,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Suggest rates for the first stage; train nothing.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="Fit epochs, image size and folds to a time: 30m, 1h30m.")
    ] = None,
    root: Root = None,
) -> None:
    """Train recipes on every fold; finished folds are skipped.

    --fast and --find-lr take one fold, 0 unless --fold names another, and the first seed.

    Example: `foldwise train digits --recipe resnet18 --fold 0`
    """
    from foldwise import pipeline, trials
    from foldwise.progress import watching

    if (fast and find_lr) or ((fast or find_lr) and len(fold or ()) > 1):
        raise typer.BadParameter("expected --fast or --find-lr, with one --fold at most")
    what = (Workspace.find(root), name, recipe or (), set_ or ())
    one = fold[0] if fold else 0
    with watching(err) as (observe, images):
        if fast:
            tried = trials.fast(*what, one, scheme, observe, images)
            lines: list[Any] = [printing.trial_line(row) for row in tried]
        elif find_lr:
            lines = printing.rates_found(trials.find_lr(*what, one, scheme, images))
        else:
            trained = pipeline.train(*what, fold, scheme, observe, images, budget)
            lines = [printing.run_line(run) for run in trained]
    say(lines)


@verb
def blend(
    name: Name,
    recipe: Recipes = None,
    method: Annotated[str | None, typer.Option(help="mean, geometric, rank, single, ...")] = None,
    auto: Annotated[bool, typer.Option("--auto", help="Try them all; take the best one.")] = False,
    member: Annotated[
        list[str] | None, typer.Option(help="From elsewhere: NAME=oof.csv,test.csv.")
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Blend trained recipes; show their scores beside the blend's, or with --auto all methods'.

    Example: `foldwise blend digits --method geometric`
    """
    from foldwise import pipeline

    chosen, where = "auto" if auto else method, Workspace.find(root)
    rows = pipeline.blend(where, name, recipe or (), chosen, member or ()).table()
    show(rows, as_json, [*rows[0]])


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


def say(lines: Sequence[Any]) -> None:
    """Print lines of markup, and tables."""
    for line in lines:
        out.print(line)


def tell(document: Any, as_json: bool, lines: Sequence[Any]) -> None:
    """Print a document as JSON, or the lines that say it."""
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        say(lines)


def show(rows: list[dict[str, Any]], as_json: bool, columns: list[str]) -> None:
    """Print rows as a table of some columns, or all of them as JSON."""
    nothing = "nothing yet: `foldwise submit digits` makes a first submission"
    tell(rows, as_json, [printing.as_table(rows, columns) if rows else nothing])


app.registered_commands[0].name = "list"
