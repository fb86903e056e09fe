"""Figures of a report, as SVG that takes the page's text colour; the tables beside them hold the
same numbers."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from foldwise.arrays import Array
from foldwise.reporting.html.traces import FoldTrace, RateRow, Search

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from foldwise.reporting.html.changes import HistoryRow
    from foldwise.reporting.html.competing import NumberedRow

INK = "#010203"  # becomes the page's own text colour
# Okabe and Ito's colours, which the colour-blind can tell apart (Color Universal Design, 2008);
# shapes and dashes tell them apart, too
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INCHES = (5.4, 3.0)  # so that text is legible at a phone's width
WIDE = (11.0, 3.0)  # over the whole page
NAMED_EVENTS = 12  # so many have their names below a wide figure
SUBMISSION: tuple[Literal["local", "public", "private"], ...] = ("local", "public", "private")
ENDS: tuple[Literal["local_low", "local_high"], ...] = ("local_low", "local_high")
Points = Sequence[Mapping[str, float]]


class LineStyle(TypedDict):
    """A line's colour and shape."""

    color: str
    marker: str | None
    markersize: int
    linewidth: float


def curves(folds: Sequence[FoldTrace]) -> str | None:
    """Training loss (dashed) and validation loss by epoch, a colour per fold; None without any."""
    shown = [fold for fold in folds if fold.get("epochs")]
    if not shown:
        return None
    figure, axes = _axes("epoch", "loss (as trained, mean per image)")
    _count_on_x(axes)
    for number, fold in enumerate(shown):
        epochs = _floats(row["epoch"] for row in fold["epochs"])
        for key, style in (("train_loss", "--"), ("valid_loss", "-")):
            values = _floats(row.get(key) for row in fold["epochs"])
            look: LineStyle = _look(number) if style == "-" else {**_look(number), "marker": None}
            axes.plot(
                epochs,
                values,
                style,
                **look,
                markevery=max(1, len(epochs) // 6),
                label=f"fold {fold['fold']}" if style == "-" else None,
            )
    _legend(axes)
    return _svg(figure, "Training loss (dashed) and validation loss by epoch, for each fold")


def rates(rows: Sequence[RateRow]) -> str | None:
    """The lowest and the highest learning rate by batch; None without any."""
    if not rows:
        return None
    figure, axes = _axes("training batch", "learning rate")
    axes.set_yscale("log")
    batches = [row["batch"] for row in rows]
    apart = any(row["low"] != row["high"] for row in rows)
    axes.plot(
        batches,
        [row["high"] for row in rows],
        color=COLOURS[0],
        linewidth=1.4,
        label="last layers" if apart else None,
    )
    if apart:
        axes.plot(
            batches,
            [row["low"] for row in rows],
            "--",
            color=COLOURS[5],
            linewidth=1.4,
            label="first layers",
        )
        _legend(axes)
    return _svg(figure, "Learning rate by training batch")


def finder(found: Sequence[Search]) -> str | None:
    """The loss by learning rate in each mock training of the rate finder; None without any."""
    if not found:
        return None
    figure, axes = _axes("learning rate", "smoothed training loss")
    axes.set_xscale("log")
    for number, one in enumerate(found):
        axes.plot(
            [row["rate"] for row in one["rows"]],
            [row["loss"] for row in one["rows"]],
            **_look(number),
            markevery=0.2,
            label=f"fold {one['fold']}, stage {one['stage']}",
        )
    _legend(axes)
    return _svg(figure, "Training loss by learning rate, as the finder saw it")


def reliability(curves: Mapping[str, Points]) -> str | None:
    """Accuracy by confidence, beside the diagonal where both agree; None without a curve."""
    if not curves:
        return None
    figure, axes = _axes("confidence (predicted probability)", "accuracy (share that is right)")
    axes.plot([0, 1], [0, 1], ":", color=INK, linewidth=1, label="perfectly calibrated")
    for number, (name, curve) in enumerate(curves.items()):
        axes.plot(
            [b["confidence"] for b in curve],
            [b["accuracy"] for b in curve],
            **_look(number),
            label=name,
        )
    _legend(axes)
    return _svg(figure, "Accuracy by confidence; on the dotted line both agree")


def sweep(rows: Points, metric: str) -> str | None:
    """The metric and the accuracy by threshold; None without a sweep."""
    if not rows:
        return None
    figure, axes = _axes("threshold (probability from which a label is predicted)", "score")
    thresholds = [row["threshold"] for row in rows]
    for number, (key, label) in enumerate((("metric", metric), ("accuracy", "accuracy per label"))):
        axes.plot(
            thresholds, [row[key] for row in rows], **_look(number), label=label, markevery=0.1
        )
    _legend(axes)
    return _svg(figure, f"{metric} and accuracy by threshold")


def over_time(
    rows: Sequence["NumberedRow"], metric: str, runs: Sequence["HistoryRow"] = ()
) -> str | None:
    """Scores in the order of time: of each run, and of each submission the local one with its
    interval, the public and the private one; None without any.

    runs: of `what_changed`.
    """
    finished = [run for run in runs if run["score"] is not None]
    names, places = _in_time(rows, finished)
    if not names:
        return None
    figure, axes = _axes("runs and submissions (#), in order of time", metric, WIDE)
    axes.set_xlim(0.5, len(names) + 0.5)
    if len(names) <= NAMED_EVENTS:
        axes.set_xticks(range(1, len(names) + 1), names)
    else:
        _count_on_x(axes)
    if finished:
        scores = _floats(run["score"] for run in finished)
        axes.plot(
            places[: len(finished)], scores, **_look(len(SUBMISSION)), linestyle="none", label="run"
        )
    _plot_submissions(axes, rows, places[len(finished) :])
    _legend(axes)
    return _svg(
        figure, f"{metric} over time: runs; submissions, local with its 95 % interval, and boards"
    )


def _plot_submissions(axes: "Axes", rows: Sequence["NumberedRow"], places: Sequence[int]) -> None:
    """Each submission's scores at its place, with the local one's interval."""
    known = [n for n, row in enumerate(rows) if None not in (row["local"], row["local_low"])]
    low, high = (_floats(rows[n][end] for n in known) for end in ENDS)
    axes.vlines([places[n] for n in known], low, high, color=COLOURS[0], linewidth=1)
    for number, key in enumerate(SUBMISSION):
        shown = [n for n, row in enumerate(rows) if row[key] is not None]
        if shown:
            values = _floats(rows[n][key] for n in shown)
            axes.plot([places[n] for n in shown], values, **_look(number), label=key)


def _in_time(
    rows: Sequence["NumberedRow"], runs: Sequence["HistoryRow"]
) -> tuple[list[str], list[int]]:
    """The names of runs and submissions in the order of time, and the place in it, from 1 on, of
    each run and then of each submission."""
    events = [(run["begun"], run["run"].rsplit("-", 2)[0]) for run in runs]
    events += [((row["created"] or "").replace("T", " "), f"#{row['number']}") for row in rows]
    order = sorted(range(len(events)), key=lambda n: (events[n][0], n))
    at = {event: place for place, event in enumerate(order, 1)}
    return [events[n][1] for n in order], [at[n] for n in range(len(events))]


def boards(rows: Sequence["NumberedRow"], metric: str) -> str | None:
    """Public and private score by the local one, with the diagonal where they agree."""
    both = [
        row
        for row in rows
        if row["local"] is not None and (row["public"] is not None or row["private"] is not None)
    ]
    if not both:
        return None
    figure, axes = _axes(f"local {metric}", f"{metric} on the leaderboard")
    values = _floats(row[key] for row in both for key in SUBMISSION)
    ends = [np.nanmin(values), np.nanmax(values)]
    axes.plot(ends, ends, ":", color=INK, linewidth=1, label="equal")
    for number, key in enumerate(SUBMISSION[1:], 1):
        shown = [row for row in both if row[key] is not None]
        if shown:
            x, y = _floats(row["local"] for row in shown), _floats(row[key] for row in shown)
            axes.plot(x, y, **_look(number), linestyle="none", label=key)
            for row, at in zip(shown, zip(x, y, strict=True), strict=True):
                axes.annotate(
                    str(row["number"]),
                    at,
                    xytext=(5, 3),
                    textcoords="offset points",
                    color=INK,
                    fontsize="small",
                )
    _legend(axes)
    return _svg(figure, f"{metric}: leaderboard by local score; equal on the dotted line")


def _look(number: int) -> LineStyle:
    colour, shape = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    return {"color": colour, "marker": shape, "markersize": 4, "linewidth": 1.4}


def _floats(values: Iterable[float | None]) -> Array:
    """The values as float64, NaN for None."""
    return np.array([*values], dtype=float)


def _axes(x: str, y: str, inches: tuple[float, float] = INCHES) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(which="both", colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    axes.grid(alpha=0.2)
    return figure, axes


def _count_on_x(axes: "Axes") -> None:
    """Whole numbers alone on the axis, one at least."""
    from matplotlib.ticker import AutoLocator

    locator = AutoLocator()
    locator.set_params(integer=True, min_n_ticks=1)
    axes.xaxis.set_major_locator(locator)


def _legend(axes: "Axes") -> None:
    """A legend above the axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0,
        ncols=5,
        frameon=False,
        fontsize="small",
        labelcolor=INK,
        columnspacing=1.2,
        handlelength=1.6,
    )


def _svg(figure: "Figure", title: str) -> str:
    """The figure's SVG without a header, with a title for screen readers."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "foldwise"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
