"""CSVs of several shapes become one checked label table."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pandas as pd
import pytest

from foldwise.data.competition import CompetitionData, load_data
from foldwise.errors import DataError, LabelError, SpecError
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, ids


def load(workspace: Workspace) -> CompetitionData:
    return load_data(workspace, "tiny")


def labels_csv(workspace: Workspace) -> Path:
    return workspace.raw("tiny") / "train_labels.csv"


def test_ids_stay_strings_and_classes_stay_in_the_format_files_order(workspace: Workspace) -> None:
    data = load(workspace)
    assert list(data.train.frame["id"]) == ids("train", 30)
    assert data.classes == CLASSES
    assert list(data.train.frame["label"].cat.categories) == list(CLASSES)
    assert (data.train.targets.values == [i % 3 for i in range(30)]).all()
    assert "label" not in data.test.frame


def test_features_and_labels_are_joined_by_id_not_by_position(workspace: Workspace) -> None:
    before = load(workspace).train.frame
    frame = pd.read_csv(labels_csv(workspace), dtype=str)
    frame.iloc[::-1].to_csv(labels_csv(workspace), index=False)
    pd.testing.assert_frame_equal(load(workspace).train.frame, before)


def test_booleans_and_bytes_order_marks_are_read(workspace: Workspace) -> None:
    before = load(workspace).train.frame
    frame = pd.read_csv(labels_csv(workspace), dtype=str)
    frame[list(CLASSES)] = frame[list(CLASSES)].replace({"1.0": "True", "0.0": "false"})
    frame.to_csv(labels_csv(workspace), index=False, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(load(workspace).train.frame, before)


def as_class_column(workspace: Workspace) -> None:
    """Rewrite the tiny competition with one label column in the features file."""
    raw = workspace.raw("tiny")
    train = load(workspace).train.frame
    features = pd.read_csv(raw / "train_features.csv", dtype=str)
    features["animal"] = train["label"].astype(str)
    features.to_csv(raw / "train_features.csv", index=False)
    labels_csv(workspace).unlink()
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, 'labels = "train_labels.csv"', "")
    edit(toml, '"class_columns"', '"class_column"\ncolumn = "animal"')


def test_a_class_column_gives_the_same_table(workspace: Workspace) -> None:
    before = load(workspace).train.frame
    as_class_column(workspace)
    pd.testing.assert_frame_equal(load(workspace).train.frame, before)


def test_a_label_that_the_format_file_lacks_is_an_error(workspace: Workspace) -> None:
    as_class_column(workspace)
    edit(workspace.raw("tiny") / "train_features.csv", "zebra", "zebr")
    with pytest.raises(
        LabelError, match=r"10 labels are not among the 3 classes, .*; did you mean"
    ):
        load(workspace)


def test_a_missing_label_column_is_an_error(workspace: Workspace) -> None:
    as_class_column(workspace)
    edit(workspace.competition("tiny") / "competition.toml", '"animal"', '"aminal"')
    with pytest.raises(DataError, match="should have a column 'aminal'; did you mean 'animal'"):
        load(workspace)


def change(column: str, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[0, column] = value
        return frame

    return changed


@pytest.mark.parametrize(
    ("file", "how", "message"),
    [
        ("train_labels.csv", change("zebra", "0.5"), "every row should hold a single 1 and zeros"),
        ("train_labels.csv", lambda f: f.replace("1.0", "0.0"), "30 of 30 do not, .* sums to 0;"),
        ("train_labels.csv", lambda f: f.replace("0.0", "1.0"), "30 of 30 do not, .* sums to 3;"),
        (
            "train_labels.csv",
            lambda f: f.rename(columns={"ant": "bee"}).assign(ant="0"),
            "10 of 30 do not, .* sums to 0, and has 1 in 'bee', no class of the format file",
        ),
        ("train_labels.csv", change("ant", "yes"), "1 cells should be finite numbers, e.g. id"),
        ("train_labels.csv", change("ant", ""), "1 cells should be finite numbers, .* has '' in"),
        ("train_labels.csv", lambda f: f.drop(columns="ant"), "should have a column 'ant'"),
        ("train_labels.csv", lambda f: f.drop(columns="id"), "should have a column 'id'"),
        ("train_labels.csv", lambda f: f.iloc[1:], "should hold the same ids; 1 of 30 are only"),
        ("train_features.csv", lambda f: f.iloc[2:], "train_labels.csv and train_features.csv"),
        (
            "train_features.csv",
            lambda f: pd.concat([f, f[:2].assign(site="elsewhere")]),
            "2 stand in several, e.g.",
        ),
        ("train_features.csv", change("id", ""), "1 rows have no 'id', e.g. line 2"),
        ("train_features.csv", change("site", ""), "1 rows have no 'site', e.g. id '"),
        ("train_features.csv", lambda f: f.drop(columns="site"), "the group column 'site'"),
        ("train_features.csv", lambda f: f.drop(columns="filepath"), "no column 'filepath'"),
        (
            "train_features.csv",
            change("filepath", "../../x.png"),
            rf"inside raw, 1 do not, e.g. not '../../x.png' of id '{ids('train', 30)[0]}'; correct",
        ),
        ("train_features.csv", change("filepath", "/x.png"), "inside raw, .* not '/x.png' of id"),
        ("test_features.csv", change("filepath", "a/../../../etc/passwd"), "not 'a/../../../etc"),
        ("train_features.csv", lambda f: f[:0], "has a header but no rows"),
        ("test_features.csv", lambda f: f.iloc[1:], "asks for ids that test_features.csv lacks: 1"),
        ("submission_format.csv", lambda f: f.iloc[1:], "ids that submission_format.csv lacks: 1"),
        ("submission_format.csv", lambda f: f[["id", "ant"]], "one column per class, got id, ant"),
    ],
)
def test_a_wrong_table_is_said(
    workspace: Workspace,
    file: str,
    how: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    path = workspace.raw("tiny") / file
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    how(frame).to_csv(path, index=False)
    with pytest.raises((DataError, SpecError), match=message) as caught:
        load(workspace)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said_with_the_steps_to_get_it(workspace: Workspace) -> None:
    (workspace.raw("tiny") / "train_labels.csv").unlink()
    with pytest.raises(DataError) as caught:
        load(workspace)
    for words in (
        "1 of 4 files are missing",
        "https://example.org/tiny",
        "images/",
        "train_labels.csv",
        "make data COMP=tiny",
        "make submit COMP=tiny",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'id,"a\n1', "is not a readable CSV"),
        (b"\xff\xfe\x00", "should be UTF-8 text, but is UTF-16; save it as UTF-8"),
    ],
)
def test_a_file_that_is_no_csv_is_said(workspace: Workspace, content: bytes, message: str) -> None:
    (workspace.raw("tiny") / "train_features.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(workspace)


def test_skipped_ids_are_left_out_and_unknown_ones_warned_of(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    toml = workspace.competition("tiny") / "competition.toml"
    first, second = ids("train", 30)[:2]
    edit(toml, 'mode = "L"', f'mode = "L"\nskip = ["{first}", "{second} ", "nobody"]')
    found = load(workspace)
    assert first not in set(found.train.frame["id"])
    assert len(found.train) == 29
    assert found.counts == {
        "images skipped by [images] skip": 1,
        "entries of [images] skip that no training row has": 2,
    }
    assert "2 of 3 entries of [images] skip are of no training row, e.g. " in caplog.text
    assert f"'{second}' and '{second} ' differ by a space: remove it" in caplog.text


ADAPTER = '''
import pandas as pd
from foldwise.tables.text import read_table


def read_labels(spec, raw):
    """The label from two files, by hand."""
    features = read_table(raw / "train_features.csv")
    labels = read_table(raw / "train_labels.csv").set_index("id").loc[features["id"]]
    features["label"] = labels.astype(float).idxmax(axis=1).to_numpy()
    return features.rename(columns={"filepath": "path", "site": "group"})


def read_test(spec, raw):
    """The test rows."""
    frame = read_table(raw / "test_features.csv")
    return frame.rename(columns={"filepath": "path", "site": "group"})
'''


def test_hooks_give_the_same_tables_as_readers(workspace: Workspace) -> None:
    before = load(workspace)
    folder = workspace.competition("tiny")
    (folder / "adapter.py").write_text(ADAPTER)
    edit(folder / "competition.toml", '"class_columns"', '"hook"')
    after = load(workspace)
    pd.testing.assert_frame_equal(after.train.frame, before.train.frame)
    pd.testing.assert_frame_equal(after.test.frame, before.test.frame)


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("def read_label(spec, raw):\n    pass", "'read_label' is no hook; did you mean 'read_la"),
        ("def broken(:\n", "does not load: SyntaxError"),
        ("import not_there", "does not load: ModuleNotFoundError"),
        ("from foldwise.spec.competition import X", "import it from foldwise.config"),
        (ADAPTER.replace('features["label"]', 'features["lable"]'), "should have .*'label'"),
        (
            ADAPTER + "\n\n_join = read_test\n\n\ndef read_test(spec, raw):\n"
            "    frame = _join(spec, raw)\n    frame.loc[3, 'group'] = None\n    return frame\n",
            "1 rows have no 'group'",
        ),
        (
            ADAPTER.replace(
                "    return frame.rename",
                "    frame['filepath'] = '../x.png'\n    return frame.rename",
            ),
            "image paths must stay inside raw",
        ),
        (ADAPTER.replace("idxmax", "idxmin").replace("raw):", "raw):\n    1 / 1"), None),
    ],
)
def test_a_wrong_adapter_is_said(workspace: Workspace, adapter: str, message: str | None) -> None:
    (workspace.competition("tiny") / "adapter.py").write_text(adapter)
    if message is None:
        load(workspace)
        return
    with pytest.raises((SpecError, DataError), match=message):
        load(workspace)


def test_a_hook_format_without_a_hook_is_said(workspace: Workspace) -> None:
    edit(workspace.competition("tiny") / "competition.toml", '"class_columns"', '"hook"')
    with pytest.raises(SpecError, match=r"needs read_labels in adapter.py"):
        load(workspace)


def test_classes_without_a_format_files_order_are_sorted_as_numbers() -> None:
    from foldwise.config.competition import CompetitionSpec
    from foldwise.data.labels.table import class_order
    from foldwise.kinds.rows import Rows

    spec = CompetitionSpec.model_construct(labels=type("L", (), {"classes": None})())

    def order(*names: str) -> list[str]:
        rows = Rows(pd.DataFrame(), pd.Series(dtype=str), [(name,) for name in names], Path())
        return class_order(rows, spec, None)

    assert order("10", "9", "1") == ["1", "9", "10"]
    assert order("b", "10", "a") == ["10", "a", "b"]
    numbers = ["nan", "2", "inf", "10", "1e1", "NaN"]  # of which some are equal, some are none
    for names in permutations(numbers):
        assert order(*names) == ["2", "10", "1e1", "inf", "NaN", "nan"]


def test_an_id_in_train_and_test_must_be_the_same_image(workspace: Workspace) -> None:
    raw = workspace.raw("tiny")
    train_id, test_id = ids("train", 30)[0], ids("test", 12)[0]
    for name in ("test_features.csv", "submission_format.csv"):
        edit(raw / name, f"{test_id},", f"{train_id},")
    with pytest.raises(
        LabelError, match=f"1 ids stand in train and test .*'{train_id}'; write id_prefix"
    ):
        load(workspace)
    edit(raw / "test_features.csv", f"images/{test_id}.png", f"images/{train_id}.png")
    assert len(load(workspace).all_rows()) == 41
