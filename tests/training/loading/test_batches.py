"""The DataBlock is a true fastai one, and its fast batches equal its items."""

import contextlib
import io
import threading
from collections.abc import Iterator

import pandas as pd
import pytest
import torch
from fastai.data.block import DataBlock
from fastai.data.core import DataLoaders

from foldwise import Competition
from foldwise.training.loading.batches import ahead
from foldwise.workspace import Workspace
from tiny import CLASSES


@pytest.fixture
def competition(workspace: Workspace) -> Competition:
    return Competition.load("tiny", workspace.root)


def loaders(competition: Competition, fold: int = 0, **kwargs: object) -> DataLoaders:
    block = competition.datablock(fold=fold, recipe="tiny")
    return block.dataloaders(competition.train, bs=8, device=torch.device("cpu"), **kwargs)


def test_it_is_a_datablock_with_the_classes_in_class_order(competition: Competition) -> None:
    block = competition.datablock(fold=0, recipe="tiny")
    assert isinstance(block, DataBlock)
    dls = block.dataloaders()
    assert list(dls.vocab) == list(CLASSES)
    assert competition.classes == CLASSES
    assert "30 training rows" in repr(competition)


def test_summary_and_show_batch_work(
    competition: Competition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        competition.datablock(fold=0, recipe="tiny").summary()
    assert "Building one batch" in said.getvalue()
    loaders(competition).show_batch(max_n=2)


def test_the_splitter_follows_the_folds_whatever_the_order_of_rows(
    competition: Competition,
) -> None:
    folds = competition.folds().frame.set_index("id")["fold"]
    block = competition.datablock(fold=1, recipe="tiny")
    for frame in (competition.train, competition.train.iloc[::-1].reset_index(drop=True)):
        dls = block.dataloaders(frame)
        assert set(dls.valid_ds.items["id"]) == set(folds.index[folds == 1])
        assert set(dls.train_ds.items["id"]) == set(folds.index[folds != 1])


def test_gathered_batches_equal_collated_items(competition: Competition) -> None:
    dls = loaders(competition)
    images, targets = dls.valid.one_batch()
    items = [dls.valid_ds[i] for i in range(len(images))]
    slow = dls.valid.after_batch(dls.valid.do_batch(items))
    assert torch.allclose(images, slow[0])
    assert torch.equal(targets, slow[1])
    labels = dls.valid_ds.items["label"]
    assert [CLASSES[t] for t in targets] == list(labels)[: len(targets)]


def test_images_are_normalised_by_the_weights_own_config(competition: Competition) -> None:
    dls = loaders(competition)
    images, _ = dls.valid.one_batch()
    id = dls.valid_ds.items["id"].iloc[0]
    pixels = dls.valid_ds.tls[0].tfms.fs[1].encodes(id).float() / 255
    # timm's test_resnet expects mean 0.5 and std 0.5
    assert torch.allclose(images[0].as_subclass(torch.Tensor), (pixels - 0.5) / 0.5, atol=1e-5)


def test_training_batches_are_augmented_and_shuffled_and_validation_is_not(
    competition: Competition,
) -> None:
    dls = loaders(competition)
    first, second = (torch.cat([x for x, _ in dls.valid]) for _ in range(2))
    assert torch.equal(first, second)
    assert len(first) == len(dls.valid_ds)
    one, two = (torch.cat([x for x, _ in dls.train]) for _ in range(2))
    assert not torch.equal(one, two)


def test_the_test_set_has_no_targets(competition: Competition) -> None:
    batches = list(loaders(competition).test_dl(competition.test))
    assert all(len(batch) == 1 for batch in batches)
    assert sum(len(batch[0]) for batch in batches) == 12


def test_no_worker_process_and_no_thread_outlives_a_loop(competition: Competition) -> None:
    dls = loaders(competition)
    assert dls.train.fake_l.num_workers == 0
    dls.train.one_batch()  # leaves the loop early
    for _ in dls.valid:
        pass
    assert not [t for t in threading.enumerate() if t.name == "foldwise-batches"]


def test_an_error_while_gathering_reaches_the_loop() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError("disk gone")

    batches = ahead(broken(), 2)
    assert next(batches) == 1
    with pytest.raises(RuntimeError, match="disk gone"):
        next(batches)


def test_an_unknown_label_frame_is_an_error_not_a_guess(competition: Competition) -> None:
    from foldwise.errors import FoldError

    frame = pd.DataFrame({"id": ["nobody"], "label": ["ant"]})
    with pytest.raises(FoldError, match="1 ids are in no fold"):
        competition.datablock(fold=0, recipe="tiny").dataloaders(frame)
