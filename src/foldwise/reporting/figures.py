"""Figures of a report, as SVG that takes the page's text colour; the tables beside them hold the
same numbers."""

import io
import re
from collections.abc import Sequence
from typing import Any

INK = "#010203"  # becomes the page's own text colour
# Okabe and Ito's colours, which the colour-blind can tell apart (Color Universal Design, 2008)
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
INCHES = (6.4, 3.2)


def curves(folds: Sequence[dict[str, Any]]) -> str | None:
    """Training loss (dashed) and validation loss by epoch, a colour per fold; None without any."""
    shown = [fold for fold in folds if fold["epochs"]]
    if not shown:
        return None
    figure, axes = _axes("epoch", "loss (nats per image)")
    for number, fold in enumerate(shown):
        colour = COLOURS[number % len(COLOURS)]
        epochs = [row["epoch"] for row in fold["epochs"]]
        for key, style in (("train_loss", "--"), ("valid_loss", "-")):
            values = [row.get(key) for row in fold["epochs"]]
            label = f"fold {fold['fold']}" if style == "-" else None
            axes.plot(epochs, values, style, color=colour, linewidth=1.4, label=label)
    _legend(axes)
    return _svg(figure, "Training loss (dashed) and validation loss by epoch, for each fold")


def reliability(curve: Sequence[dict[str, float]]) -> str | None:
    """Accuracy by confidence, beside the diagonal where both agree; None without a curve."""
    if not curve:
        return None
    figure, axes = _axes("confidence (probability that was said)", "accuracy (share that is right)")
    axes.plot([0, 1], [0, 1], ":", color=INK, linewidth=1, label="as sure as right")
    axes.plot([b["confidence"] for b in curve], [b["accuracy"] for b in curve], "o-",
              color=COLOURS[0], linewidth=1.4, markersize=4, label="this run")  # fmt: skip
    _legend(axes)
    return _svg(figure, "Accuracy by confidence; on the dotted line both agree")


def sweep(rows: Sequence[dict[str, float]], metric: str) -> str | None:
    """The metric and the accuracy by threshold; None without a sweep."""
    if not rows:
        return None
    figure, axes = _axes("threshold (probability from which a class is named)", "score")
    thresholds = [row["threshold"] for row in rows]
    for key, label, colour in (("metric", metric, 0), ("accuracy", "accuracy of cells", 1)):
        axes.plot(thresholds, [row[key] for row in rows], "o-", color=COLOURS[colour],
                  linewidth=1.4, markersize=3, label=label)  # fmt: skip
    _legend(axes)
    return _svg(figure, f"{metric} and accuracy by threshold")


def _axes(x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    axes.grid(alpha=0.2)
    return figure, axes


def _legend(axes: Any) -> None:
    axes.legend(frameon=False, fontsize="small", labelcolor=INK)


def _svg(figure: Any, title: str) -> str:
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
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
