"""What a competition's page says: its submissions, runs and blends side by side, from files."""

from collections.abc import Sequence

from foldwise.data.competition import load_data
from foldwise.reporting.comparing import BlendRow, RunRow, compare_blends, compare_runs
from foldwise.reporting.headline import Head
from foldwise.reporting.html.changes import HistoryRow, what_changed
from foldwise.reporting.html.gathering import PageFacts, facts
from foldwise.reporting.standing import (
    DescribedRow,
    board_after,
    headline_of,
    stand,
    with_manifests,
)
from foldwise.store.layout import CompetitionRuns, runs_of
from foldwise.store.records import Plain
from foldwise.store.run_records import BlendRecord
from foldwise.submitting.leaderboard import Agreement
from foldwise.workspace import Workspace


class NumberedRow(DescribedRow):
    """A submission with its number, from 1 on."""

    number: int


class LinkedRun(RunRow):
    """A run with the path of its page, None where that was not written."""

    link: str | None


class CompetitionPage(PageFacts):
    """All that a competition's page shows, see `gather_competition`."""

    metric: str
    higher: bool
    submissions: list[NumberedRow]
    agreement: Agreement
    runs: list[LinkedRun]
    history: list[HistoryRow]
    blends: list[dict[str, object]]
    steps: list[dict[str, object]]
    tried: dict[str, tuple[Plain, ...]]
    headline: Head | None


def gather_competition(workspace: Workspace, name: str) -> CompetitionPage:
    """All that a competition's page shows; lists of dicts are its tables.

    Keys: those of `facts`; `metric, higher`; `submissions`: see `with_manifests`, each with its
    `number`; `agreement`: see there; `runs`: of `compare_runs`, and `history`: see `what_changed`;
    `blends`: of `compare_blends`, `steps`: what each gained in them, and `tried`: what `auto`
    tried, by blend; `headline`: of the blend that was submitted last, else of the best one or the
    best run, with the last submission's board; None before. Runs and blends have a `link` where
    their page was written.
    Raises: DataError: leaderboard.csv is no board.
    """
    data, folder = load_data(workspace, name), runs_of(workspace, name)
    runs = compare_runs(folder.path, data)
    blends = compare_blends(folder.path, data, runs)
    told = stand(workspace, data.spec)
    submissions = with_manifests(workspace, data.spec, told["submissions"])
    first = _first(submissions, runs, blends)
    head = headline_of(workspace, data, first, runs, blends) if first else None
    if head and submissions and not (head["board"] and head["board"]["file"]):
        # what is expected of another blend says nothing of this one
        head["board"] = board_after(submissions[-1], head["board"])
    records = {row["run"]: BlendRecord.read(folder.blend(row["run"]).record) for row in blends}
    return {
        **facts(workspace, data),
        "metric": data.spec.metric.title,
        "higher": data.spec.metric.higher,
        "submissions": [{"number": n, **row} for n, row in enumerate(submissions, 1)],
        "agreement": told["agreement"],
        "runs": [{**row, "link": _link(folder, row["run"])} for row in runs],
        "history": what_changed(workspace.competition(name), folder, runs),
        "blends": [
            {**row, "link": _link(folder, row["run"]), "members": ", ".join(row["members"])}
            for row in blends
        ],
        "steps": [
            {"blend": run, **step} for run, record in records.items() for step in record.steps
        ],
        "tried": {run: record.tried for run, record in records.items() if record.tried},
        "headline": head,
    }


def _link(folder: CompetitionRuns, what: str) -> str | None:
    """The path of the page of a run or a blend, from the folder of runs; None without one."""
    page = folder.run(what).report
    return page.relative_to(folder.path).as_posix() if page.is_file() else None


def _first(
    submissions: Sequence[DescribedRow], runs: Sequence[RunRow], blends: Sequence[BlendRow]
) -> str | None:
    """The name of what the headline is about."""
    known = [row["run"] for row in blends]
    sent = [row["blend"] for row in submissions if row["blend"] in known]
    finished = [row["run"] for row in runs if row["score"] is not None]
    return next(iter([*sent[::-1], *known, *finished]), None)
