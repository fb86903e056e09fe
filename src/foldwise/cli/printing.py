"""What verbs found, as people read it in a terminal: tables, and lines of Rich's markup."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from foldwise.commands.data import DataState
    from foldwise.commands.score import FileScores
    from foldwise.commands.status import Standing
    from foldwise.commands.trials import SheetRow, TrialRow
    from foldwise.drafting.draft import Draft
    from foldwise.drafting.hosting import Hosted
    from foldwise.reporting.comparing import RunRow
    from foldwise.reporting.headline import Head
    from foldwise.reporting.summary import RunSummary
    from foldwise.submitting.entry import Entry
    from foldwise.training.fitting.run import Run

WIDTH = 100  # columns that lines and tables fit, where their names do
SHOWN_ROWS = 20  # rows of a table that is cut
PHOTOS, BEST = 40, 3  # rows of predicted photos, and classes of each


def as_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> Table:
    """A table of some columns of the rows; numbers stand to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        number = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(plain(row.get(column))) for column in columns))
    return table


def plain(value: object) -> str:
    """A value as a person reads it in one line."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if not value:
            return "none"
        shown = [f"{k} {plain(v)}" for k, v in list(value.items())[:12]]
        return ", ".join(shown) + (f", … ({len(value)} in all)" if len(value) > 12 else "")
    if isinstance(value, list | tuple):
        return " to ".join(map(plain, value))
    return str(value)


def next_line(command: str) -> str:
    """The command that follows, as the last line of what a verb prints."""
    return f"next    {escape(command)}"


def draft_lines(made: "Draft", then: str) -> list[str]:
    """What `new` understood, is unsure of and wrote. then: the command that follows."""
    return [
        *(escape(line) for line in made.understood),
        *(f"[yellow]unsure[/] {escape(line)}" for line in made.unsure),
        *(escape(f"written {path}") for path in made.paths),
        escape(f"Next: read competition.toml, then {then}"),
    ]


def hosted_lines(made: "Hosted") -> list[str | Table]:
    """A practice competition that `new --host` made: its parts, its files, its board."""
    parts = f"{made.train_rows} training rows and {made.test_rows} test rows"
    group = f"; no {made.group!r} stands in both" if made.group else ""
    return [
        escape(f"{made.name}: {parts}{group}"),
        escape(f"their truth, for the local platform alone: {made.truth}"),
        escape(f"what a submission must look like: {made.format}"),
        as_table([entry.plain() for entry in made.board], ["team", "public", "private"]),
    ]


def data_lines(name: str, facts: "DataState") -> list[str]:
    """What `get_data` found."""
    rows = f"{facts['train_rows']} training rows and {facts['test_rows']} test rows"
    lines = [f"{name}: {rows} in {facts['raw']}"]
    lines += [f"{count} {what}" for what, count in facts["changes"].items()]
    lines += facts["unused"]
    if packed := facts["packed"]:
        path = Path(facts["raw"], packed[0])
        lines.append(
            f"still packed: {packed[0]} ({len(packed)} in all); where something in it is "
            f"needed: foldwise data {name} --from {path}"
        )
    if facts["images_missing"]:
        lines.append(
            f"{facts['images_missing']} images are still missing, e.g. "
            f"{facts['missing'][0]!r}: foldwise check {name}"
        )
    return [escape(line) for line in lines]


def headline_lines(told: "Head") -> list[Table]:
    """The headline of a run or a blend, the one of its page: what `overview.headline` tells."""
    from foldwise.reporting.headline import headline_rows

    table = Table(box=None, show_header=False, pad_edge=False)
    rows = headline_rows(told)
    room = WIDTH - sum(max(len(row[key]) for row in rows) + 2 for key in ("what", "value"))
    for row in rows:
        meaning = textwrap.fill(row["meaning"], room, break_on_hyphens=False)
        table.add_row(f"[bold]{row['what']}[/]", row["value"], escape(meaning))
    return [table]


def run_line(run: "Run") -> str:
    """How far a run is, and where it lies."""
    done = run.folds.n - len(run.unfinished())
    return escape(f"{run.name}: {done} of {run.folds.n} folds done in {run.folder}")


def entry_lines(entry: "Entry") -> list[str]:
    """What an entry's file was made of, and what became of it; its headline has the scores."""
    lines = [f"run     {run}: {score}" for run, score in entry.member_scores.items()]
    file, here, receipt = entry.file, Path.cwd(), entry.receipt
    lines.append(f"file    {file.relative_to(here) if file.is_relative_to(here) else file}")
    lines.append(f"{receipt.state:7} {receipt.message}" if receipt else "sent    no: dry run")
    return [escape(line) for line in lines]


def scored_lines(told: "FileScores") -> list[str | Table]:
    """Whether a file is valid, and how it scores: what `score_file` found."""
    lines: list[str | Table] = [
        escape(f"valid  {told['file']}: {told['asked']} ids, by the rules of {told['platform']}")
    ]
    if told["moved"]:
        moved = " and ".join(told["moved"])
        lines.append(
            f"order  its {moved} are not in the format file's order, which {told['platform']} takes"
        )
    if told["truth"] is None:
        page = f", or upload it at {told['page']}" if told["page"] else ""
        lines.append(
            escape(
                "score  none: nobody here knows the answers; give them with --truth FILE, laid out "
                f"as the training labels or as the format file{page}"
            )
        )
        return lines
    better = "higher" if told["higher"] else "lower"
    lines.append(escape(f"score  {told['metric']}, {better} is better; answers of {told['truth']}"))
    rows = [
        {
            "part": row["part"],
            "rows": row["rows"],
            "score": _with_error(row["value"], None),
            "95 % interval": None
            if row["low"] is None
            else f"{row['low']:.5f} to {row['high']:.5f}",
        }
        for row in told["scores"]
    ]
    drawn = f"interval: 2.5 and 97.5 % of the scores of resampled {told['resampled']} (bootstrap)"
    return [*lines, as_table(rows, [*rows[0]]), drawn]


def standing_lines(told: "Standing") -> list[str | Table]:
    """A competition's submissions, and how far its scores agree; told: see `read_standing`."""
    rows, agreed, quota = told["submissions"], told["agreement"], told["quota"]
    sent = None
    if quota:
        room = f"{quota['left']} left {'ever' if quota['for_good'] else 'today'}"
        sent = f"{quota['today']} submissions today, {quota['total']} in all; {room}"
    if not rows:
        nothing = "no submissions yet: `foldwise submit NAME` makes the first one"
        return [nothing, *([sent] if sent else [])]
    shown = [{**row, "place": _place(row["rank"], row["teams"])} for row in rows]
    columns = ["file", "local", "public", "private", "place", "medal", "state"]
    if not any(row["medal"] for row in rows):
        columns.remove("medal")
    lines: list[str | Table] = [as_table(shown, columns), *([sent] if sent else [])]
    for what, pair in (
        ("local and public", agreed["local_public"]),
        ("local and private", agreed["local_private"]),
        ("public and private", agreed["public_private"]),
    ):
        if pair["gap"] is not None:
            lines.append(
                f"{what}: rank correlation {plain(pair['correlation'])}, mean difference "
                f"{pair['gap']:+.5f} ({pair['submissions']} submissions)"
            )
    verdict = escape(agreed["verdict"])
    return [*lines, f"[yellow]warning[/] {verdict}" if agreed["stopped"] else verdict]


def _place(rank: object, teams: object) -> str | None:
    """A place on a leaderboard; None where it is not known."""
    return None if rank is None else f"{rank} of {teams}" if teams else str(rank)


def sync_lines(sent: int, left: Sequence[Path]) -> list[str]:
    """What became of offline runs: what `overview.sync` tells."""
    lines = [f"{sent} offline runs sent to W&B"]
    if left:
        lines.append(
            f"[yellow]warning[/] {len(left)} not sent, e.g. {escape(str(left[0]))}: is "
            "the server up, and the key right? The same command tries again"
        )
    return lines


def predicted_lines(
    rows: Sequence[Mapping[str, object]], says: Sequence[str], out: Path | None
) -> list[str | Table]:
    """What a model says of photos, with its most probable classes; says: the other columns."""
    unread = sum(row["error"] is not None for row in rows)
    shown = []
    for row in rows[:PHOTOS]:
        probs = {
            key: value for key, value in row.items() if key not in says and isinstance(value, float)
        }
        best = sorted(probs, key=lambda name: -probs[name])[:BEST]
        likely = ", ".join(f"{name} {probs[name]:.2f}" for name in best)
        shown.append({**{key: row[key] for key in says}, "most probable": likely})
    columns = [*says[:-1], "most probable", *(says[-1:] if unread else [])]
    lines: list[str | Table] = [as_table(shown, columns)]
    if len(rows) > len(shown):
        lines.append(f"{len(shown)} of {len(rows)} photos; --out FILE.csv has them all")
    if unread:
        lines.append(f"[yellow]warning[/] {unread} of {len(rows)} photos could not be read")
    return [*lines, *([escape(f"written {out}")] if out else [])]


def trial_line(row: "TrialRow") -> str:
    """What a trial ran: a row of `trials.fast`."""
    return (
        f"{row['recipe']} fold {row['fold']}: everything runs in {row['precision']} on "
        f"{row['device']}, {plain(row['images_per_second'])} images/s (stages {row['stages']}, "
        f"batches {row['batches']}, validation rows {row['validation_rows']}, test rows "
        f"{row['test_rows']}, {plain(row['seconds'])} s); nothing of it is kept"
    )


def rates_found(rows: Sequence[Mapping[str, object]]) -> list[str | Table]:
    """The suggested learning rates, and where the curves lie: rows of `trials.find_lr`."""
    columns = [column for column in rows[0] if column != "curve"]
    return [
        as_table(rows, columns),
        *(escape(f"curve of {r['recipe']}: {r['curve']}") for r in rows),
    ]


def sheet_line(row: "SheetRow") -> str:
    """Where a sheet of training images lies: a row of `trials.show_batch`."""
    what = f"{row['images']} augmented training images of {row['recipe']} fold {row['fold']}"
    return escape(f"{what}: {row['sheet']}")


def runs_compared(rows: Sequence["RunRow"]) -> list[str | Table]:
    """The runs of a competition in a table, and what its columns mean: rows of `compare_runs`."""
    if not rows:
        return ["no runs yet: `foldwise train NAME` makes the first one"]
    shown = [_comparison_row(row) for row in rows]
    meaning = (
        f"{rows[0]['metric']}, {'higher' if rows[0]['higher'] else 'lower'} is better; spread: "
        "standard deviation over folds; to best: mean difference over the folds that both have, "
        "with its standard error; verdict: by its 95 % interval"
    )
    return [as_table(shown, list(shown[0])), meaning]


def run_summarised(told: "RunSummary", head: "Head | None" = None) -> list[str | Table]:
    """A run's scores: pooled, by fold, by class and by group; what `run_summary` tells.

    head: its `headline`, which comes first.
    """
    better = "higher" if told["higher"] else "lower"
    pooled = f"{told['metric']} {told['score']:.5f}"
    if told["low"] is not None:
        pooled += (
            f", 95 % interval {told['low']:.5f} to {told['high']:.5f} "
            f"(bootstrap over {told['resampled']})"
        )
    lines: list[str | Table] = [
        escape(f"{told['run']}: {pooled}; {better} is better; {told['rows']} rows")
    ]
    if head is not None:
        lines = [
            escape(f"{told['run']}: {told['metric']} of {told['rows']} rows"),
            *headline_lines(head),
        ]
    if told["done"] < told["folds"]:
        lines.append(
            f"[yellow]unfinished[/] {told['done']} of {told['folds']} folds are done; "
            "all figures are of these alone"
        )
    if told["mean"] is not None:
        spread = _with_error(told["mean"], told["deviation"])
        lines.append(f"folds: mean ± standard deviation {spread}")
    lines.append(as_table(told["by_fold"], ["fold", "rows", "value"]))
    counts = ""
    if told["named_from"] is not None:
        counts = (
            f"; a label counts from a probability of {told['named_from']:g} on, to "
            "which a blend moves the thresholds that it fits"
        )
    columns = ["class", "rows", "value", "precision", "recall"]
    lines += _worst_rows("class", told["by_class"], columns, counts)
    share = "; share: of the total loss"
    return lines + _worst_rows(
        "group", told["by_group"], ["group", "rows", "value", "share"], share
    )


def _worst_rows(
    what: str, rows: Sequence[Mapping[str, object]], columns: Sequence[str], meaning: str
) -> list[str | Table]:
    """A table of the first rows, and what it shows; nothing without rows."""
    if not rows:
        return []
    cut = f" {SHOWN_ROWS} of {len(rows)}" if len(rows) > SHOWN_ROWS else ""
    return [f"by {what}, the worst{cut} first{meaning}", as_table(rows[:SHOWN_ROWS], columns)]


def _comparison_row(row: "RunRow") -> dict[str, object]:
    """A row of `compare_runs` by the columns of its table."""
    speed = row["images_per_second"]
    return {
        "run": row["run"],
        "recipe": row["recipe"],
        "seed": row["seed"],
        "scheme": row["scheme"],
        "folds": f"{row['done']}/{row['folds']}",
        "score": _with_error(row["score"], None),
        "mean ± spread": _with_error(row["mean"], row["deviation"]),
        "seconds": row["seconds"],
        "images/s": None if speed is None else round(speed),
        "to best ± error": _with_error(row["difference"], row["error"], "+"),
        "verdict": row["verdict"],
    }


def _with_error(value: float | None, error: float | None, sign: str = "") -> str | None:
    """A value with its error, where there is one."""
    if value is None:
        return None
    return f"{value:{sign}.5f}" + ("" if error is None else f" ± {error:.5f}")
