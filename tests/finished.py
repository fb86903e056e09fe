"""Runs on disk as training leaves them, with made-up predictions, for tests of what comes after."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.config.competition import Submit
from foldwise.config.recipe import SizedRecipe
from foldwise.data.competition import CompetitionData
from foldwise.data.folds import Folds, frame_hash
from foldwise.store.files import write_json
from foldwise.store.frames import write_csv
from foldwise.store.predictions import predictions_frame, write_predictions
from foldwise.store.run_records import RunRecord
from foldwise.training.fitting.run import Run
from planted import softmax
from records import run_values
from tiny import CLASSES

N = 4  # folds


def write_run(
    folder: Path, data: CompetitionData, name: str, seed: int, noise: float, **recipe: Any
) -> Run:
    """A run's files as training leaves them, with made-up predictions that are too sharp."""
    codes = pd.Series(data.train.targets.values)
    frame = pd.DataFrame(
        {"id": data.train.frame["id"], "fold": codes.groupby(codes).cumcount() % N}
    )
    frame = frame.sort_values("id", ignore_index=True)
    folds = Folds("default", frame, frame_hash(frame, ""))
    rng = np.random.default_rng(seed)
    truth = data.train.frame.set_index("id")["label"].cat.codes
    run = folder / f"{name}-s0"
    for k in range(N):
        ids = frame.loc[frame["fold"] == k, "id"]
        scores = 3 * np.eye(3)[truth.loc[ids]] + noise * rng.normal(size=(len(ids), 3))
        write_predictions(
            run / f"fold{k}" / "oof.parquet", predictions_frame(ids, softmax(2 * scores), CLASSES)
        )
        test = predictions_frame(data.test.frame["id"], rng.dirichlet(np.ones(3), 12), CLASSES)
        write_predictions(run / f"fold{k}" / "test.parquet", test.sample(frac=1, random_state=k))
        stopped = {"stopped_early_after_epoch": 3} if recipe.get("early_stop") and k == 1 else {}
        write_json(run / f"fold{k}" / "done.json", {"fold": k, "seconds": 1.0, **stopped})
    write_csv(run / "folds.csv", frame)
    made = SizedRecipe.model_validate(
        {
            "name": name,
            "model": "x",
            "image_size": 32,
            **recipe,
            "stage": [{"epochs": 5, "lr": 1e-3}],
        }
    )
    identity = f"{name} {seed} {noise} {recipe}"
    record = RunRecord.model_validate(run_values(identity=identity))
    return Run(run, made, 0, folds, data.classes, record)


def settings(data: CompetitionData, **submit: Any) -> CompetitionData:
    """The competition with other `[submit]` settings."""
    chosen = Submit.model_validate({**data.spec.submit.model_dump(), **submit})
    return replace(data, spec=data.spec.model_copy(update={"submit": chosen}))
