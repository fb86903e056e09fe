"""The verb that tries a trained model on photos."""

from pathlib import Path
from typing import Annotated

import typer

from foldwise.cli import printing
from foldwise.cli.console import LOOK, AsJson, Root, err, tell, verb
from foldwise.cli.executing import Address, Executor, open_executor
from foldwise.workspace import Workspace


@verb(LOOK)
def predict(
    model: Annotated[str, typer.Argument(help="The name or folder of a run or blend.")],
    images: Annotated[
        list[Path],
        typer.Argument(help="Image files, folders of images, or CSVs with a column of paths."),
    ],
    out: Annotated[Path | None, typer.Option(help="Write all probabilities to this CSV.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help='Answer "none of these" below this probability.'),
    ] = None,
    executor: Executor = "local",
    address: Address = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Predict photos with a trained run or blend, with its TTA and thresholds as submitted.

    A photo that cannot be read becomes a row with an error.
    Example: `foldwise predict blend-mean-4107a5c8 ~/Pictures --out predictions.csv`
    """
    from foldwise.cli.progress import show_progress
    from foldwise.commands import predict as predicting
    from foldwise.store.files import replace_file

    where = Workspace.find(root)
    with open_executor(executor, address) as execute, show_progress(err) as (_, decoded):
        said = predicting.predict(where, model, images, threshold, decoded, execute)
    if out is not None:
        with replace_file(out) as temporary:
            said.to_csv(temporary, index=False)
    rows = predicting.as_rows(said)
    tell(rows, as_json, printing.predicted_lines(rows, predicting.SAYS, out))
