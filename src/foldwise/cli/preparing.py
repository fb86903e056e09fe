"""Verbs before a training: list, new, data, schema, check."""

from pathlib import Path
from typing import Annotated

import typer

from foldwise.cli import printing
from foldwise.cli.checking import report_lines
from foldwise.cli.console import (
    START,
    AsJson,
    Name,
    Root,
    err,
    out,
    say,
    show,
    tell,
    verb,
)
from foldwise.workspace import Workspace


@verb(START)
def list_(root: Root = None, as_json: AsJson = False) -> None:
    """Show the competitions, with their state and best scores.

    Example: `foldwise list`
    """
    from foldwise.commands.catalogue import catalogue

    rows = catalogue(Workspace.find(root))
    columns = ["competition", "platform", "task", "metric", "rows", "state", "local", "public"]
    show(rows, as_json, columns)


@verb(START)
def new(
    name: Annotated[str, typer.Argument(help="What to call it: letters, digits, - and _.")],
    source: Annotated[Path, typer.Option("--from", help="The folder of the unpacked download.")],
    host: Annotated[
        bool,
        typer.Option(
            "--host", help="Make a practice board: hold out a test set and score it here."
        ),
    ] = False,
    root: Root = None,
) -> None:
    """Look at a download and draft a competition: competition.toml, a recipe, a README.

    With --host a practice board as well: data, a test set split off (whole groups), a format file
    and baselines; after a correction of the draft the same command goes on.
    Nothing is overwritten. Example: `foldwise new birds --from downloads/birds`
    """
    where = Workspace.find(root)
    if host:
        from foldwise.cli.progress import show_progress
        from foldwise.drafting import hosting

        with show_progress(err) as (_, images):
            hosted = hosting.host(where, name, source.expanduser(), images)
        say(printing.hosted_lines(hosted))
        if hosted.draft:
            say(printing.draft_lines(hosted.draft, f"foldwise submit {name}"))
        return
    from foldwise.drafting.draft import draft

    made = draft(where, name, source.expanduser())
    say(printing.draft_lines(made, f"foldwise data {name} --from {source}"))


@verb(START)
def data(
    name: Name,
    source: Annotated[
        Path | None, typer.Option("--from", help="An archive, a folder or a CSV to add.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Write the training labels to this CSV: path,label.")
    ] = None,
    clear: Annotated[
        bool,
        typer.Option("--clear-cache", help="Remove cached images; they are rebuilt when needed."),
    ] = False,
    root: Root = None,
) -> None:
    """Bring a competition's files into data/NAME/raw, unpacked and verified.

    Exit code 1 where files or images are still missing.
    Example: `foldwise data leaf --from leaf-classification.zip`
    """
    from foldwise.commands.data import clear_cache, get_data

    if clear:
        number, freed = clear_cache(Workspace.find(root), name)
        out.print(f"{number} image caches removed, {freed / 1e9:.2f} GB freed")
        return
    source = source.expanduser() if source else None
    facts = get_data(Workspace.find(root), name, source, labels)
    say(printing.data_lines(name, facts))
    if facts["images_missing"]:
        raise typer.Exit(1)


@verb(START)
def schema(
    file: Annotated[str, typer.Argument(help="`competition` or `recipe`.")],
    target: Annotated[
        Path | None, typer.Option("--out", help="The file to write; stdout by default.")
    ] = None,
) -> None:
    """Print the JSON schema of competition.toml or of recipes, for editors that check TOML.

    Example: `foldwise schema competition --out competitions/.schema/competition.json`
    """
    from foldwise.config.schema import schema_text
    from foldwise.store.files import write_text

    text = schema_text(file)
    if target is None:
        print(text, end="")
        return
    write_text(target, text)
    out.print(f"wrote {target}")


@verb(START)
def check(name: Name, root: Root = None, as_json: AsJson = False) -> None:
    """Check data, labels, groups, folds, images and formats, and report what to do.

    Exit code 1 where something would stop a run. Example: `foldwise check wildlife`
    """
    from foldwise import doctor
    from foldwise.cli.progress import show_progress

    with show_progress(err) as (_, images):
        findings = doctor.check(Workspace.find(root), name, images)
    tell(findings.document(), as_json, report_lines(findings, name))
    if not findings.ok:
        raise typer.Exit(1)
