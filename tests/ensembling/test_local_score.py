"""The local score is that of the chain that is submitted, to the last digit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finished import N
from foldwise.data.competition import CompetitionData
from foldwise.data.labels.table import LabelTable
from foldwise.ensembling import blend as blending
from foldwise.ensembling import crossfit
from foldwise.ensembling.blend import Blend, blend_runs
from foldwise.ensembling.chain import Chain, apply_chain
from foldwise.ensembling.members import of_run
from foldwise.kinds.blending import BLENDINGS, Stack
from foldwise.metrics.scoring import score
from foldwise.store.predictions import predictions_frame, write_predictions
from foldwise.submitting.entry import score_through_file
from foldwise.tasks import MultiLabel
from foldwise.training.fitting.run import Run
from tiny import CLASSES, metric_of

METHODS = [name for name in BLENDINGS.known if name != "auto"]

# steps: the metric, the file's shape, many labels
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "": ({"name": "log_loss"}, {}, False),
    "temperature clip": ({"name": "log_loss"}, {}, False),
    "threshold": ({"name": "f1"}, {"shape": "tags", "none": "-"}, True),
    "thresholds": ({"name": "f1", "average": "macro"}, {"shape": "tags", "none": "-"}, True),
    "cuts": ({"name": "kappa"}, {"shape": "label"}, False),
}
CASES = [
    pytest.param(method, steps, marks=[pytest.mark.slow] if method != "mean" else [])
    for method in METHODS
    for steps in KINDS
]


def of_kind(data: CompetitionData, steps: str) -> CompetitionData:
    """The competition with a metric and a file to which such steps belong."""
    metric, shape, multi = KINDS[steps]
    spec = data.spec.model_copy(
        update={
            "metric": metric_of(**metric),
            "submission": data.spec.submission.model_copy(update=shape),
            "labels": data.spec.labels.model_copy(update={"multi": multi}),
        }
    )
    form = replace(data.format, settings=spec.submission, answers=("labels",))
    form = form if shape else replace(data.format, settings=spec.submission)
    if not multi:
        return replace(data, spec=spec, format=form)
    hot = pd.DataFrame(data.train.marks(), columns=list(CLASSES))
    frame = pd.concat([data.train.frame.drop(columns="label"), hot], axis=1)
    train = LabelTable(frame, data.train.source, MultiLabel(data.classes))
    return replace(data, spec=spec, format=replace(form, task=train.task), train=train)


def blended(
    data: CompetitionData,
    runs: list[Run],
    method: str,
    steps: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Blend:
    """A blend whose chain has these steps, whether or not they gain anything."""
    names = steps.split()
    monkeypatch.setattr(blending, "slots_of", lambda goal: tuple((name,) for name in names))
    monkeypatch.setattr(crossfit, "_better", lambda *args: True)
    return blend_runs(folder, data, runs, BLENDINGS.parse(method))


@pytest.mark.parametrize(("method", "steps"), CASES)
def test_it_is_the_metric_of_the_submitted_chain_cross_fitted(
    data: CompetitionData,
    runs: list[Run],
    method: str,
    steps: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = of_kind(data, steps)
    if not kind.task.sums_to_one:  # some rows have several labels, some none
        for run in runs:
            for path in run.folder.glob("fold*/*.parquet"):
                frame = pd.read_parquet(path)
                frame[list(CLASSES)] = frame[list(CLASSES)] ** 0.7
                write_predictions(path, frame)
    made = blended(kind, runs, method, steps, tmp_path, monkeypatch)
    submitted = made.record.chain
    assert [step["step"] for step in submitted["steps"]] == steps.split()
    ids = made.oof()["id"]
    folds, stack = (
        runs[0].folds.of(ids),
        Stack([of_run(run, list(ids), []).oof() for run in runs], kind.task),
    )
    probs = np.empty((len(ids), 3))
    assert len(made.record.by_fold) == N
    for k, chain in enumerate(made.record.by_fold):
        for key in ("method", "temperatures"):  # the same form, other values
            assert type(chain[key]) is type(submitted[key])
        assert [step["step"] for step in chain["steps"]] == steps.split()
        probs[folds == k] = apply_chain(Chain.model_validate(chain), stack, folds == k)
    frame = predictions_frame(ids, probs, CLASSES)
    own = score(kind.spec.metric, kind.train.frame, kind.format.decide(frame))
    assert made.score == own
    assert made.record.score.value == own.value
    if steps != "":
        assert made.record.in_sample != own.value or method == "rank"


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_file_says_the_same(
    data: CompetitionData,
    runs: list[Run],
    method: str,
    tmp_path: Path,
) -> None:
    made = blend_runs(tmp_path, data, runs, BLENDINGS.parse(method))
    through = score_through_file(data, made.oof(), tmp_path / "oof.csv")
    # it holds nine decimal places
    assert through.value == pytest.approx(made.score.value, abs=1e-8)
