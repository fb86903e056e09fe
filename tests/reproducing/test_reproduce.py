"""A submission is made again from its manifest alone, and whatever is not as it was is said."""

import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.commands import blend as blending
from foldwise.commands.submit import submit
from foldwise.config.competition import CompetitionSpec, load_competition
from foldwise.config.loading import parse
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import DataError, FoldwiseError, ImageError, StorageError, SubmissionError
from foldwise.kinds.events import Event, FoldDone, FoldStarted
from foldwise.reproducing.differences import check_data
from foldwise.reproducing.reproduce import Reproduction, reproduce, verdict_of
from foldwise.reproducing.scratch import find_manifest, toml_of
from foldwise.store.files import hold_lock, read_json, sha256_json, write_json
from foldwise.store.manifests import HASH_KEY, Manifest
from foldwise.submitting.entry import Entry
from foldwise.training.fitting import finder, tuning
from foldwise.workspace import Workspace
from tiny import copy, edit, ids, tree

Submitted = tuple[Workspace, Entry]


@pytest.fixture
def own(submitted: Submitted, tmp_path: Path) -> Workspace:
    """A copy of the workspace with one submission."""
    return copy(submitted[0], tmp_path)


def manifest_of(workspace: Workspace) -> Path:
    (path,) = (workspace.data / "tiny" / "submissions").glob("*.json")
    return path


def altered(workspace: Workspace, change: Callable[[dict[str, Any]], None]) -> str:
    """Change the manifest as if it had been written so; returns the submission's stem."""
    path = manifest_of(workspace)
    told = json.loads(path.read_text())
    change(told)
    told[HASH_KEY] = sha256_json({key: value for key, value in told.items() if key != HASH_KEY})
    path.write_text(json.dumps(told))
    return path.stem


def scratch_folders(workspace: Workspace) -> list[Path]:
    return [*(workspace.runs / "tiny").glob(".reproduce-*/")]


def refused(workspace: Workspace, kind: type[FoldwiseError], message: str) -> None:
    """Reproducing is refused with this message, before anything is trained."""
    events: list[Event] = []
    with pytest.raises(kind, match=message):
        reproduce(workspace, manifest_of(workspace).stem, events.append)
    assert events == []
    assert scratch_folders(workspace) == []


def test_the_same_bytes_come_out_and_nothing_else_is_touched(
    own: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "settle", lambda *given: pytest.fail("measured again"))
    threads = Manifest.read(manifest_of(own)).machine["threads"]
    before, seen = tree(own.root), set()

    def observe(event: Event) -> None:
        seen.add((event.__class__, torch.get_num_threads()))

    torch.set_num_threads(threads + 1)  # other sums
    try:
        made = reproduce(own, manifest_of(own).stem, observe)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert made.verdict == "the same bytes"
    assert (made.same, made.close, made.largest, made.rows) == (True, True, 0.0, 0)
    assert (made.local, made.kept, made.differences) == (made.again, None, ())
    assert tree(own.root) == before
    assert scratch_folders(own) == []
    assert (FoldDone, threads) in seen
    assert {count for _, count in seen} == {threads}  # as many as the manifest says


@pytest.mark.parametrize(("code", "trained"), [("the same", [2]), ("another", [0, 1, 2])])
def test_a_reproduction_that_was_stopped_goes_on_unless_the_code_changed(
    own: Workspace, code: str, trained: list[int]
) -> None:
    class Stop(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, FoldDone) and event.fold == 1:
            raise Stop

    with pytest.raises(Stop):
        reproduce(own, manifest_of(own).name, stop)
    (folder,) = scratch_folders(own)
    if code == "another":
        begun = read_json(folder / "begun.json")
        write_json(folder / "begun.json", {**begun, "package": "another"})
    events: list[Event] = []
    assert reproduce(own, manifest_of(own).name, events.append).same
    assert [event.fold for event in events if isinstance(event, FoldStarted)] == trained
    assert scratch_folders(own) == []


def test_one_at_a_time(own: Workspace) -> None:
    with hold_lock(own.runs / "tiny" / ".reproduce.lock", "this test"):
        refused(own, StorageError, "reproducing tiny is already at work in another process")


def test_what_changed_on_disk_and_in_code_is_said_and_the_manifests_own_is_used(
    own: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    folder = own.competition("tiny")
    edit(folder / "recipes" / "tiny.toml", "lr = 3e-3", "lr = 5e-3")
    edit(folder / "competition.toml", "[submit]", '[metric]\nclip = 1e-7\n\n[submit]\nblend="rank"')

    def change(told: dict[str, Any]) -> None:
        told["spec"]["metric"] = {"k": 5}  # of another metric: once that was no error
        told["versions"]["torch"] = "2.0.0"
        told["code"]["commit"] = "0123abcd"
        told["machine"]["processor"] = "Abacus"
        run = told["runs"][0]
        run["resolved"]["device"] = "cuda" if run["resolved"]["device"] == "cpu" else "cpu"

    made = reproduce(own, altered(own, change))
    assert made.same
    said = "\n".join(made.differences)
    for words in (
        "versions: torch was 2.0.0, is 2",
        "code: commit was 0123abcd, is unknown",
        "machine: processor was Abacus, is ",
        "was trained on cu" if not torch.cuda.is_available() else "was trained on cpu, here it is",
        "competition.toml differs in 'metric', 'submit'; the manifest's is used",
        "recipe tiny differs in 'stage'; the manifest's is used",
    ):
        assert words in said
        assert words in caplog.text
    assert len(made.differences) == 6


def test_a_recipe_or_spec_that_is_gone_is_said_too(own: Workspace) -> None:
    folder = own.competition("tiny")
    (folder / "recipes" / "tiny.toml").rename(folder / "recipes" / "other.toml")
    (folder / "adapter.py").write_text('"""Nothing."""\n')
    made = reproduce(own, manifest_of(own).stem)
    assert made.same
    assert "competition.toml cannot be compared (" in made.differences[1]
    assert "recipe tiny cannot be compared (tiny has no recipe 'tiny' in " in made.differences[2]
    assert made.differences[0].startswith("code: adapter_sha256 was unknown, is ")


def test_a_changed_label_is_an_error_and_names_its_file(own: Workspace) -> None:
    path = own.raw("tiny") / "train_labels.csv"
    frame = pd.read_csv(path, dtype=str)
    frame.loc[[0, 1], frame.columns[1:]] = frame.loc[[1, 0], frame.columns[1:]].to_numpy()
    frame.loc[0, frame.columns[1:]] = ["0.0", "1.0", "0.0"]
    frame.loc[1, frame.columns[1:]] = ["0.0", "1.0", "0.0"]
    frame.to_csv(path, index=False)
    refused(
        own,
        DataError,
        r"tiny: the data should be those .* but ids, labels or groups of the "
        r"training rows are others than the manifest's \(30 training rows then, 30 now; "
        r"changed: 'raw/train_labels.csv'\); restore them \(nothing was trained\)",
    )


def test_a_changed_or_missing_image_is_an_error(own: Workspace) -> None:
    image = own.raw("tiny") / "images" / f"{ids('test', 12)[5]}.png"
    Image.new("L", (9, 9), 200).save(image)
    refused(
        own,
        DataError,
        rf"but image files are others .*; the last to change was images/"
        rf"{image.name}, 20\d\d-.* UTC\); restore them",
    )
    image.unlink()
    refused(own, ImageError, r"tiny: 1 of 42 ids have no image")


def test_another_format_file_is_an_error(own: Workspace) -> None:
    path = own.raw("tiny") / "submission_format.csv"
    pd.read_csv(path, dtype=str).iloc[::-1].to_csv(path, index=False)
    refused(own, DataError, r"but ids or columns that the format file asks for are others")


def test_a_file_that_says_the_same_in_other_bytes_is_no_error(own: Workspace) -> None:
    path = own.raw("tiny") / "train_labels.csv"
    path.write_text(path.read_text().replace(",1.0", ",1").replace(",0.0", ",0"))
    told = Manifest.read(manifest_of(own))
    assert check_data(told, load_data(own, "tiny"), own.competition("tiny")) == [
        "raw/train_labels.csv has other bytes, but says the same"
    ]


def test_folds_that_this_version_makes_otherwise_are_an_error(own: Workspace) -> None:
    stem = altered(own, lambda told: told["folds"].update(sha256="0123456789"))
    words = r"folds 'default' should be those of the submission \(01234567\), but this version .*"
    with pytest.raises(DataError, match=words + r"restore .*default.json and its CSV"):
        reproduce(own, stem)


def test_lost_folds_are_made_anew(own: Workspace) -> None:
    shutil.rmtree(own.data / "tiny" / "folds")
    assert reproduce(own, manifest_of(own).stem).same
    assert not (own.data / "tiny" / "folds").exists()


def test_a_manifest_that_was_altered_is_refused(own: Workspace) -> None:
    path = manifest_of(own)
    text = path.read_text()
    edit(path, '"seed": 0', '"seed": 1')
    refused(own, SubmissionError, r"json was altered after it was written; restore it")
    path.write_text(text)
    altered(own, lambda told: told["runs"][0]["recipe"].update(name="../../evil"))
    refused(own, SubmissionError, r"json was altered after it was written; restore it")
    path.write_text("{")
    refused(own, SubmissionError, r"json is no manifest any more: Expecting .*; restore it from")
    told = json.loads(text)
    del told["spec"], told["teachers"]
    path.write_text(json.dumps(told))
    refused(own, SubmissionError, r"lacks 'spec', 'teachers': an earlier version of foldwise wrote")


def test_a_file_that_was_altered_is_refused_and_a_lost_one_is_not(own: Workspace) -> None:
    file = manifest_of(own).with_suffix(".csv")
    content = file.read_text()
    file.write_text(content + "\n")
    refused(own, SubmissionError, r"csv is not the file that its manifest tells of \(its bytes")
    file.unlink()
    made = reproduce(own, file.stem)
    assert made.same
    assert made.largest is None
    assert not file.exists()


def test_a_submission_is_found_by_name_stem_or_path(submitted: Submitted) -> None:
    workspace, entry = submitted
    path = entry.file.with_suffix(".json")
    for name in (entry.file.name, entry.file.stem, path.name, str(entry.file), str(path)):
        assert find_manifest(workspace, name) == path
    with pytest.raises(SubmissionError) as caught:
        find_manifest(workspace, entry.file.name.replace("mean", "means"))
    assert str(caught.value).endswith(f"; did you mean {entry.file.stem!r}?")
    with pytest.raises(SubmissionError, match=r"no submission is called ''; there are: 2"):
        find_manifest(workspace, "")


def test_other_answers_are_measured_and_kept(own: Workspace) -> None:
    def change(told: dict[str, Any]) -> None:
        told["spec"]["submit"]["chain"] = "none"  # the file's answers have a temperature

    stem = altered(own, change)
    result = CliRunner().invoke(app, ["reproduce", stem, "--root", str(own.root), "--json"])
    assert result.exit_code == 1
    made = Reproduction(**json.loads(result.stdout))
    assert not made.same
    assert made.verdict.startswith("different answers")
    first, second = (
        pd.read_csv(path, index_col="id", dtype={"id": str})
        for path in (made.file, f"{made.kept}/submission.csv")
    )
    assert made.largest == pytest.approx((first - second).abs().to_numpy().max())
    assert made.rows == 12
    assert made.local != made.again
    result = CliRunner().invoke(app, ["reproduce", stem, "--root", str(own.root)])
    assert result.exit_code == 1
    assert "verdict different answers" in result.stdout
    assert "why     see the differences above" in result.stdout
    alone = replace(made, differences=())
    assert alone.lines()[4].startswith("why     nothing else is different; on a GPU only determin")
    assert f"largest difference {made.largest:.2g}, rows that differ: 12" in result.stdout
    assert f"local   {made.local:.6f} then, {made.again:.6f} now" in result.stdout


@pytest.mark.parametrize(
    ("largest", "verdict", "close"),
    [
        (None, "other bytes; the first file is not here, so answers cannot be compared", False),
        (0.0, "the same answers within rounding, in other bytes", True),
        (1e-6, "the same answers within rounding, in other bytes", True),
        (3e-5, "the same answers to 4 digits", True),
        (9e-4, "the same answers to 3 digits", True),
        (2e-3, "different answers", False),
        (1.0, "different answers", False),
    ],
)
def test_the_verdict_is_in_words(largest: float | None, verdict: str, close: bool) -> None:
    assert verdict_of(largest) == (verdict, close)


FOUND = '\nlr = "find"\nfind = "minimum/10"\n'
STUDENT = '\n[pseudo]\nrun = "tiny"\nconfidence = 0.05\nsoft = true\n'


def test_teachers_rates_seeds_and_weights_are_the_manifests(
    own: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own.competition("tiny")
    weights = own.root / "begin.safetensors"
    run = next((own.runs / "tiny").glob("tiny-s0-*"))
    shutil.copy(run / "fold0" / "weights.safetensors", weights)
    text = (folder / "recipes" / "tiny.toml").read_text()
    text = text.replace("\nlr = 3e-3\n", FOUND).replace('"none"\nd', f'"{weights}"\nseeds=[3]\nd')
    (folder / "recipes" / "student.toml").write_text(text + STUDENT)
    edit(folder / "competition.toml", '["tiny"]', '["student"]')
    entry = submit(open_competition(own, "tiny"), dry_run=True)
    told = Manifest.read(entry.file.with_suffix(".json"))
    assert [each.run for each in told.teachers] == [run.name]
    (student,) = told.runs
    assert (student.seed, student.recipe["pseudo"]["run"]) == (3, "tiny")
    assert [*student.rates] == ["fold0", "fold1", "fold2"]
    assert [*student.rates["fold0"]["lr-0.json"]] == ["valley", "steep", "minimum/10"]
    monkeypatch.setattr(finder, "find_rate", lambda *given: pytest.fail("searched again"))
    monkeypatch.setattr("foldwise.training.fitting.stages.find_rate", finder.find_rate)
    assert reproduce(own, entry.file.name).same
    shutil.copy(run / "fold1" / "weights.safetensors", weights)
    with pytest.raises(DataError, match=r"the weights that student-s3-.* began with are others"):
        reproduce(own, entry.file.name)


def test_members_from_elsewhere_have_to_be_the_same(own: Workspace) -> None:
    blend = blending.blend(open_competition(own, "tiny"), method="mean")
    blend.oof().to_csv(own.data / "tiny" / "oof.csv", index=False)
    blend.test().to_csv(own.data / "tiny" / "test.csv", index=False)
    member = '\n[[submit.member]]\nname = "friend"\noof = "oof.csv"\ntest = "test.csv"\n'
    spec = own.competition("tiny") / "competition.toml"
    spec.write_text(spec.read_text() + member)
    entry = submit(open_competition(own, "tiny"), dry_run=True)
    assert reproduce(own, entry.file.name).same
    frame = pd.read_csv(own.data / "tiny" / "test.csv", dtype=str)
    frame.iloc[::-1].to_csv(own.data / "tiny" / "test.csv", index=False)
    with pytest.raises(DataError, match=r"but test.csv, of a member from elsewhere, has changed;"):
        reproduce(own, entry.file.name)


def test_every_competitions_spec_is_the_same_from_a_manifest(repository: Path) -> None:
    folders = [path.parent for path in (repository / "competitions").glob("*/competition.toml")]
    assert len(folders) > 5
    for folder in folders:
        spec = load_competition(folder)
        told = json.loads(json.dumps(spec.model_dump(mode="json", exclude_unset=True)))
        again = parse(CompetitionSpec, tomllib.loads(toml_of(told)), "the manifest")
        assert again == spec


def test_values_of_every_kind_are_toml() -> None:
    table: dict[str, Any] = {
        "a b": 'q"\\\n\x01\x7fé',
        "n": None,
        "t": {"x": [1, 2.5, 1e-15, True], "n": None, "": {}},
        "stages": [{"n": None, "epochs": 1}],
    }
    assert tomllib.loads(toml_of(table)) == {
        "a b": 'q"\\\n\x01\x7fé',
        "t": {"x": [1, 2.5, 1e-15, True], "": {}},
        "stages": [{"epochs": 1}],
    }
