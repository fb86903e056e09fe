"""Where files lie, and which folds are finished."""

from pathlib import Path

from foldwise.store.layout import CacheFolder, CompetitionRuns, FoldFolder, RunFolder


def test_folds_are_told_by_their_number_and_finished_by_their_record(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "tiny-s0-1")
    for number in (10, 2, 0):
        run.fold(number).path.mkdir(parents=True)
    (run.path / "folder").mkdir()
    for number in (10, 0):
        run.fold(number).record.write_text("{}")
    assert [fold.number for fold in run.there()] == [0, 2, 10]
    assert run.finished() == [0, 10]
    assert run.unfinished(3) == [1, 2]
    assert run.fold(2) == FoldFolder(run.path / "fold2")


def test_runs_and_blends_are_those_with_a_record(tmp_path: Path) -> None:
    runs = CompetitionRuns(tmp_path)
    for name in ("b-s0-1", "a-s0-1", "begun", "blend-mean-1"):
        (tmp_path / name).mkdir()
    runs.run("b-s0-1").record.write_text("{}")
    runs.run("a-s0-1").record.write_text("{}")
    runs.blend("blend-mean-1").record.write_text("{}")
    assert [run.name for run in runs.runs()] == ["a-s0-1", "b-s0-1"]
    assert [blend.name for blend in runs.blends()] == ["blend-mean-1"]
    assert not runs.trained()
    runs.run("a-s0-1").fold(1).path.mkdir()
    runs.run("a-s0-1").fold(1).record.write_text("{}")
    assert runs.trained()
    assert runs.trained("a")
    assert not runs.trained("b")


def test_searches_of_rates_are_found_by_their_stage(tmp_path: Path) -> None:
    fold = FoldFolder(tmp_path)
    for stage in (1, 0):
        fold.rate_search(stage).write_text("{}")
    assert fold.rate_searches() == {"0": tmp_path / "lr-0.json", "1": tmp_path / "lr-1.json"}


def test_a_cache_of_either_kind_has_one_lock(tmp_path: Path) -> None:
    raw = CacheFolder(tmp_path / "24x24-L-squish-1")
    packed = raw.of_kind(True)
    assert packed.lock == raw.lock == tmp_path / "24x24-L-squish-1.lock"
    assert (raw.recompressed, packed.recompressed) == (False, True)
