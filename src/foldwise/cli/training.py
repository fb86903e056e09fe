"""Verbs that train and blend."""

from typing import Annotated, Any

import typer

from foldwise import printing
from foldwise.cli.console import (
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
from foldwise.workspace import Workspace


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
    no_track: NoTrack = False,
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
            trained = pipeline.train(*what, fold, scheme, observe, images, budget, not no_track)
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

    if auto and method:
        raise typer.BadParameter(f"expected --auto or --method {method}, got both")
    chosen, where = "auto" if auto else method, Workspace.find(root)
    rows = pipeline.blend(where, name, recipe or (), chosen, member or ()).table()
    show(rows, as_json, [*rows[0]])
