"""Options of the verbs whose jobs can run elsewhere."""

from contextlib import AbstractContextManager
from typing import Annotated

import typer

from foldwise import executors
from foldwise.errors import nearest

Executor = Annotated[
    str,
    typer.Option(help="Where folds run: local (this process) or ray (a cluster)."),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="The cluster: HOST:PORT, auto (the one of this machine) or local (a new one)."
    ),
]


def open_executor(executor: str, address: str | None) -> AbstractContextManager[executors.Execute]:
    """What runs the jobs.

    Raises: typer.BadParameter: there is no such executor, or it has no address and one is given.
    """
    known = executors.EXECUTORS
    if executor not in known:
        hint = nearest(executor, [*known])
        raise typer.BadParameter(
            f"expected --executor {' or '.join(known)}, got {executor!r}{hint}"
        )
    if address is not None and not known[executor].addressed:
        others = " or ".join(name for name, runner in known.items() if runner.addressed)
        raise typer.BadParameter(f"expected --executor {others} with --address {address}")
    return executors.executor(executor, address or "auto")
