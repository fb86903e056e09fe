"""Options of the verbs whose jobs can run elsewhere."""

from contextlib import AbstractContextManager
from typing import Annotated, Literal

import typer

from foldwise import executors

Executor = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where folds run: in this process, or on a Ray cluster (docs/cluster.md)."),
]
Address = Annotated[
    str | None,
    typer.Option(help="The cluster's HOST:PORT; auto: this machine's; local: a new one, here."),
]


def open_executor(executor: str, address: str | None) -> AbstractContextManager[executors.Execute]:
    """What runs the jobs. Raises: typer.BadParameter: an address, but no cluster is asked for."""
    if address is not None and executor != "ray":
        raise typer.BadParameter(f"expected --executor ray with --address {address}")
    return executors.executor(executor, address or "auto")
