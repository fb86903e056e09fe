"""`list`: the competitions, each with its state and best scores."""

from typing import TypedDict

from foldwise.commands.status import status
from foldwise.config.competition import load_competition
from foldwise.store.layout import runs_of
from foldwise.tables.listing import files_here, rows_here
from foldwise.workspace import Workspace


class CatalogueRow(TypedDict):
    """A competition, see `catalogue`."""

    competition: str
    title: str
    platform: str
    task: str
    metric: str
    rows: int | None
    state: str
    local: float | None
    public: float | None


def catalogue(workspace: Workspace) -> list[CatalogueRow]:
    """A row per competition: `competition, title, platform, task, metric, rows, state, local,
    public`.

    rows: the number of training rows, None where only reading them would tell. state: `no data`,
    `data`, `trained` or `submitted`. local, public: the best scores, in the metric's direction.
    """
    rows: list[CatalogueRow] = []
    for name in workspace.names():
        spec = load_competition(workspace.competition(name))
        done = status(workspace, name)
        here = files_here(spec, workspace.raw(name))
        count = rows_here(spec, workspace.raw(name)) if here else None
        trained = runs_of(workspace, name).trained()
        state = "submitted" if done else "trained" if trained else "data" if here else "no data"
        best = max if spec.metric.higher else min
        local = [row["local"] for row in done if row["local"] is not None]
        public = [row["public"] for row in done if row["public"] is not None]
        rows.append(
            {
                "competition": name,
                "title": spec.title,
                "platform": spec.platform.name,
                "task": spec.task,
                "metric": spec.metric.title,
                "rows": count,
                "state": state,
                "local": best(local, default=None),
                "public": best(public, default=None),
            }
        )
    return rows
