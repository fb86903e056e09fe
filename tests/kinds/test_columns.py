"""A class may have any name: no two columns of a frame are ever called the same."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from foldwise.kinds.columns import OWN_COLUMNS, classes_of, columns_of
from foldwise.store.predictions import predictions_frame, read_predictions, write_predictions

NAMES = ["cat", "", "nan", "None", "1", "class:", "class:cat", "a class:id", "class", *OWN_COLUMNS]


def test_classes_have_columns_of_their_own_and_come_back() -> None:
    names = [
        *NAMES,
        *(f"class:{name}" for name in OWN_COLUMNS),
        *(f"class:class:{name}" for name in OWN_COLUMNS),
    ]
    columns = columns_of(names)
    assert len({*columns, *OWN_COLUMNS}) == len(names) + len(OWN_COLUMNS)
    assert classes_of(columns) == names
    ordinary = [name for name in NAMES if name not in OWN_COLUMNS]
    assert columns_of(ordinary) == ordinary


def test_other_frames_have_other_columns() -> None:
    assert columns_of(["image", "id"], ("image", "answer")) == ["class:image", "id"]


def test_predictions_of_such_classes_survive_their_file(tmp_path) -> None:
    classes = ("id", "class:id", "label", "zebra")
    frame = predictions_frame(["b", "a"], np.full((2, 4), 0.25), classes)
    write_predictions(tmp_path / "p.parquet", frame)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "p.parquet", classes), frame)


@pytest.mark.parametrize("classes", list(product(["label", "a"], ["path", "b"])))
def test_files_in_which_such_classes_have_their_own_name_are_read(tmp_path, classes) -> None:
    frame = predictions_frame(["b", "a"], np.full((2, 2), 0.5), classes)
    frame.set_axis(["id", *classes], axis=1).to_parquet(tmp_path / "old.parquet", index=False)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "old.parquet", classes), frame)
