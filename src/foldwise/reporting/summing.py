"""A submission in W&B: one run that sums it up, and scores that are joined when they arrive."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from PIL import Image

from foldwise.data.competition import CompetitionData
from foldwise.data.images.decoding import decode
from foldwise.data.images.scale import recorded_levels
from foldwise.ensembling.blend import Blend
from foldwise.errors import ImageError
from foldwise.reporting.html.numbers import confusion, samples
from foldwise.reporting.tracking import Tracker
from foldwise.store.data_records import SummedUp
from foldwise.store.layout import CompetitionRuns, manifest_of
from foldwise.store.manifests import Headline
from foldwise.submitting.entry import Entry

SAMPLED_ROWS = 32  # sample predictions
SAMPLE_SIDE = 128  # pixels, the longer side
BOARD = ("public", "private", "rank", "teams")


def sum_up(runs: Path, data: CompetitionData, blend: Blend, entry: Entry) -> None:
    """Tell W&B of a submission, once: scores, blend, confusion, samples, the file as an artifact.

    What was told is written to `wandb/<file>.json` in the competition's runs folder; where only the
    board's scores are new, they alone are told.
    """
    numbers: dict[str, object] = {
        "local": entry.score.value,
        "local_low": entry.score.low,
        "local_high": entry.score.high,
        "board_expected": entry.expected.value,
        "sha256": entry.sha256,
        **{key: getattr(entry.receipt, key, None) for key in BOARD},
    }
    told = CompetitionRuns(runs).summed_up(entry.file.stem)
    if told.is_file():
        join_scores(runs, data.spec.name, entry.file.stem, numbers)
        return
    with Tracker(runs, data.spec.name, {}) as tracker:
        oof = blend.oof()
        tables = {
            "blend": pd.DataFrame(blend.table()),
            "confusion": confusion(data, oof),
            "samples": samples(data, oof, SAMPLED_ROWS),
        }
        pictures = list(_pictures(data, tables["samples"]))
        config = Headline.read(manifest_of(entry.file)).model_dump(mode="json", exclude_unset=True)
        tracker.summary(entry.file, config, _without_unknown(numbers), tables, pictures)
        if tracker.mode != "disabled":
            SummedUp.model_validate(numbers).write(told)


def join_scores(runs: Path, competition: str, stem: str, numbers: Mapping[str, object]) -> None:
    """Tell W&B the board's scores of a submission that it knows, where they are new."""
    before = SummedUp.read_if_there(told := CompetitionRuns(runs).summed_up(stem))
    if before is None:
        return
    news = {key: numbers[key] for key in BOARD if numbers[key] not in (None, getattr(before, key))}
    if not news:
        return
    with Tracker(runs, competition, {}) as tracker:
        tracker.scores(stem, news)
        if tracker.mode != "disabled":
            before.model_copy(update=news).write(told)


def _without_unknown(numbers: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in numbers.items() if value is not None}


def _pictures(data: CompetitionData, rows: pd.DataFrame) -> Iterator[tuple[Image.Image, str]]:
    """Small images of rows of `samples` with captions; none where a hook makes the images."""
    if "read_image" in data.hooks:
        return
    for row in rows.itertuples(index=False):
        try:
            path, levels = data.raw / str(row.path), recorded_levels(data.spec, data.raw)
            image = decode(
                path, data.spec.images.mode, levels=levels, readers=data.spec.images.readers
            ).image
        except (ImageError, OSError):  # gone by now
            continue
        image.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE))
        yield image, f"{row.id}: {row.label}; predicted {row.predicted} ({row.probability:.2f})"
