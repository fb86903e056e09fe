"""Verbs that train and blend."""

from typing import Annotated

import typer
from rich.console import RenderableType

from foldwise.cli import printing
from foldwise.cli.console import (
    TRAIN,
    AsJson,
    Name,
    NoTrack,
    Overrides,
    Recipes,
    Root,
    err,
    say,
    show,
    verb,
)
from foldwise.cli.executing import Address, Executor, open_executor
from foldwise.workspace import Workspace

OfFolds = Annotated[
    list[int] | None,
    typer.Option("--fold", help="Train only this fold, counted from 0; may be repeated."),
]
Scheme = Annotated[
    str | None, typer.Option(help="The fold scheme, in place of the one in [submit].")
]
Fast = Annotated[
    bool, typer.Option("--fast", help="Try whether everything runs on a few batches; keep nothing.")
]
FindLr = Annotated[
    bool,
    typer.Option("--find-lr", help="Suggest learning rates for the first stage; train nothing."),
]
ShowBatch = Annotated[
    bool,
    typer.Option("--show-batch", help="Save a sheet of augmented training images; train nothing."),
]
Budget = Annotated[
    str | None,
    typer.Option(help="Choose epochs, image size and folds to fit this time: 30m, 1h30m."),
]


@verb(TRAIN)
def train(
    name: Name,
    recipe: Recipes = None,
    fold: OfFolds = None,
    scheme: Scheme = None,
    set_: Overrides = None,
    fast: Fast = False,
    find_lr: FindLr = False,
    show_batch: ShowBatch = False,
    budget: Budget = None,
    no_track: NoTrack = False,
    executor: Executor = "local",
    address: Address = None,
    root: Root = None,
) -> None:
    """Train recipes on all folds; folds that are finished are skipped.

    --fast, --find-lr and --show-batch take one fold, 0 unless --fold names another, and the first
    seed.

    Example: `foldwise train digits --recipe resnet18 --fold 0`
    """
    from foldwise.cli.progress import show_progress
    from foldwise.commands import status, trials
    from foldwise.commands.planning import Selection, Session
    from foldwise.commands.train import train as run
    from foldwise.data.opened import open_competition

    tried = fast + find_lr + show_batch
    if tried > 1 or (tried and (len(fold or ()) > 1 or executor != "local")):
        raise typer.BadParameter(
            "expected --fast, --find-lr or --show-batch, with one --fold at most, and no --executor"
        )
    folds = tuple(fold) if fold else None
    selection = Selection(
        recipes=tuple(recipe or ()), overrides=tuple(set_ or ()), folds=folds, scheme=scheme
    )
    with open_executor(executor, address) as execute, show_progress(err) as (observe, images):
        session = Session(observe=observe, progress=images, execute=execute, track=not no_track)
        competition = open_competition(Workspace.find(root), name)
        lines: list[RenderableType] = []
        if fast:
            lines += map(printing.trial_line, trials.fast(competition, selection, session))
        elif find_lr:
            lines += printing.rates_found(trials.find_lr(competition, selection, session))
        elif show_batch:
            lines += map(printing.sheet_line, trials.show_batch(competition, selection, session))
        else:
            trained = run(competition, selection, budget, session)
            heads = status.headlines(competition, [run.name for run in trained])
            for each, told in zip(trained, heads, strict=True):
                lines += [printing.run_line(each), *printing.headline_lines(told)]
            left = any(each.unfinished() for each in trained)
            lines.append(printing.next_line(f"foldwise {'train' if left else 'submit'} {name}"))
    say(lines)


@verb(TRAIN)
def blend(
    name: Name,
    recipe: Recipes = None,
    method: Annotated[
        str | None, typer.Option(help="The blend method: mean, geometric, rank, single, ...")
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Compare all methods and choose the simplest good one.")
    ] = False,
    member: Annotated[
        list[str] | None,
        typer.Option(help="Add predictions made elsewhere: NAME=oof.csv,test.csv."),
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Blend trained recipes and compare its score with theirs; --auto compares all methods.

    Example: `foldwise blend digits --method geometric`
    """
    from foldwise.commands.blend import blend as run
    from foldwise.data.opened import open_competition

    if auto and method:
        raise typer.BadParameter(f"expected --auto or --method {method}, got both")
    competition = open_competition(Workspace.find(root), name)
    made = run(competition, recipe or (), "auto" if auto else method, member or ())
    rows = made.table()
    show(rows, as_json, [*rows[0]])
