"""Caches of several sizes come from one decoding, and are recompressed where the disk is small."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise.commands.data import clear_cache
from foldwise.commands.planning import Selection
from foldwise.commands.train import train
from foldwise.data.competition import image_caches, load_data
from foldwise.data.images import building
from foldwise.data.images import decoding as images
from foldwise.data.images.cache import ROW, ImageCache
from foldwise.data.images.decoding import load_image
from foldwise.data.images.resizing import Resizing
from foldwise.data.opened import open_competition
from foldwise.errors import StorageError
from foldwise.jobs import fold_inputs
from foldwise.workspace import Workspace
from tiny import edit, ids, only_run, small_disk

ALL = np.arange(42)


def built(workspace: Workspace, *sizes: tuple[int, int], how: str = "squash") -> list[ImageCache]:
    return image_caches(load_data(workspace, "tiny"), sizes, Resizing(shape=how))


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """A grey image with structure at every scale."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 215, (9, 9)).astype(np.uint8))
    fine = rng.integers(-20, 20, (height, width))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + fine).clip(0, 255).astype(np.uint8))


def put(workspace: Workspace, number: int, image: Image.Image, **options: object) -> str:
    """Replace the image of a training row by a JPEG; returns its id."""
    id = ids("train", 30)[number]
    path = workspace.raw("tiny") / "images" / f"{id}.png"
    image.save(path, "JPEG", **options)  # type: ignore[arg-type]
    return id


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that are decoded from now on."""
    seen: list[Path] = []
    decoded = images.decode

    def count(
        path: Path, mode: str, side: int | None = None, levels: object = None, *more: object
    ) -> images.Decoded:
        seen.append(path)
        return decoded(path, mode, side, levels, *more)

    monkeypatch.setattr(images, "decode", count)
    return seen


def known(cache: ImageCache, id: str) -> np.void:
    """What the cache's record says of an id."""
    return np.fromfile(cache.folder / "rows.bin", ROW)[cache.rows(pd.Series([id]))[0]]


def pixels_of(cache: ImageCache, id: str) -> np.ndarray:
    """The image of an id, float (height, width)."""
    return cache.pixels[cache.rows(pd.Series([id]))][0, :, :, 0].astype(float)


@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
def test_a_large_jpeg_is_decoded_at_a_reduced_scale(workspace: Workspace, how: str) -> None:
    id = put(workspace, 3, photo(211, 163), quality=90)
    (cache,) = built(workspace, (16, 24), how=how)
    # 163 / (2 * 24) = 3.4: each side can be halved while decoding
    row = known(cache, id)
    assert (row["width"], row["height"], row["scale"]) == (163, 211, 2)
    full = load_image(workspace.raw("tiny") / "images" / f"{id}.png", "L")
    assert full.size == (163, 211)
    expected = Resizing(shape=how).fit(full, (16, 24))[:, :, 0].astype(float)
    assert not (pixels_of(cache, id) == expected).all()
    assert np.abs(pixels_of(cache, id) - expected).mean() < 3
    assert (np.fromfile(cache.folder / "rows.bin", ROW)["scale"] == 2).sum() == 1


def test_a_turned_jpeg_is_recorded_as_it_is_seen(workspace: Workspace) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    id = put(workspace, 3, photo(200, 410), quality=90, exif=exif)
    (cache,) = built(workspace, (12, 12))
    row = known(cache, id)
    assert (row["width"], row["height"], row["scale"]) == (200, 410, 8)
    full = load_image(workspace.raw("tiny") / "images" / f"{id}.png", "L")
    expected = Resizing(shape="squash").fit(full, (12, 12))[:, :, 0].astype(float)
    assert np.abs(pixels_of(cache, id) - expected).mean() < 3


def test_every_row_is_recorded(workspace: Workspace) -> None:
    (cache,) = built(workspace, (16, 24))
    rows = np.fromfile(cache.folder / "rows.bin", ROW)
    assert len(rows) == 42
    for id, row in zip(cache.ids, rows, strict=True):
        with Image.open(workspace.raw("tiny") / "images" / f"{id}.png") as image:
            assert (row["width"], row["height"], row["scale"]) == (*image.size, 1)


def test_all_sizes_come_from_one_decoding(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = counted(monkeypatch)
    small, large = built(workspace, (8, 8), (16, 24))
    assert len(seen) == len(set(seen)) == 42
    assert (small.size, large.size) == ((8, 8), (16, 24))
    again = built(workspace, (16, 24), (8, 8))
    assert [cache.folder for cache in again] == [large.folder, small.folder]
    assert len(seen) == 42


def test_a_caches_bytes_hang_on_its_name_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = put(workspace, 3, photo(211, 163), quality=90)
    small, large = built(workspace, (8, 8), (16, 24))
    before = np.asarray(small.pixels).copy()
    assert built(workspace, (16, 24))[0].folder == large.folder
    alone = built(workspace, (8, 8))[0]
    assert alone.folder != small.folder  # decoded for itself, at a smaller scale
    assert (known(alone, id)["scale"], known(small, id)["scale"]) == (8, 2)
    (small.folder / "done.json").unlink()  # as if killed between two caches
    seen = counted(monkeypatch)
    again = built(workspace, (8, 8), (16, 24))[0]
    assert len(seen) == 42
    assert again.folder == small.folder
    assert (again.pixels[ALL] == before).all()


def test_two_builds_of_the_same_caches_wait_for_each_other(workspace: Workspace) -> None:
    orders = [[(8, 8), (16, 24), (12, 12)], [(12, 12), (16, 24), (8, 8)]]
    found: list[list[Path]] = []

    def build(sizes: Sequence[tuple[int, int]]) -> None:
        found.append(sorted(cache.folder for cache in built(workspace, *sizes)))

    threads = [threading.Thread(target=build, args=[sizes]) for sizes in orders * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert all(folders == found[0] for folders in found)


def test_a_cache_that_does_not_fit_raw_is_recompressed_and_it_is_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raw, also_raw = built(workspace, (48, 64), (40, 60))
    assert not caplog.records
    clear_cache(workspace, "tiny")
    small_disk(monkeypatch, 200_000)  # two raw caches take 229,824 bytes
    packed, also_packed = built(workspace, (48, 64), (40, 60))
    (said,) = caplog.records
    assert said.levelname == "WARNING"
    assert said.getMessage() == (
        "tiny: raw, the image cache takes 0.00 GB, and 0.00 GB are free: it is recompressed as "
        "JPEG of quality 95, which takes about 0.00 GB. Every epoch decodes it again (about 1300 "
        "images of 256 px a second and core), and runs from it are other runs than those from raw "
        "pixels. For raw pixels make room and say `foldwise data tiny --clear-cache` first"
    )
    assert packed.folder.name == f"{raw.folder.name}-packed"
    assert also_packed.folder.name == f"{also_raw.folder.name}-packed"
    assert packed.pixels.shape == (42, 48, 64, 1)
    assert packed.size == (48, 64)
    assert packed.channels == 1


def test_recompressed_images_are_nearly_the_raw_ones(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = built(workspace, (48, 64))[0]
    whole = raw.pixels[ALL].astype(float)
    clear_cache(workspace, "tiny")
    small_disk(monkeypatch, 100_000)
    packed = built(workspace, (48, 64))[0]
    pixels = packed.pixels[ALL]
    assert pixels.dtype == np.uint8
    assert 0 < np.abs(pixels - whole).mean() < 2
    assert (packed.ids == raw.ids).all()


def test_a_finished_cache_of_either_kind_is_used(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        small_disk(patch, 100_000)
        packed = built(workspace, (48, 64))[0]
    caplog.clear()
    assert built(workspace, (48, 64))[0].folder == packed.folder
    small, same = built(workspace, (8, 8), (48, 64))  # the new one fits raw
    assert same.folder == packed.folder
    assert not small.folder.name.endswith("-packed")
    small_disk(monkeypatch, 9)
    assert [cache.folder for cache in built(workspace, (8, 8), (48, 64))] == [
        small.folder,
        packed.folder,
    ]
    assert not caplog.records


def test_a_disk_with_room_for_neither_is_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_disk(monkeypatch, 80_000)  # recompressed it takes about 78,926 bytes, and a tenth is kept
    with pytest.raises(StorageError) as caught:
        built(workspace, (48, 64))
    assert str(caught.value) == (
        f"the image cache of tiny needs 0.00 GB of disk space at {workspace.data}/tiny/cache, or "
        "about 0.00 GB recompressed, and a tenth of the disk's free space beside it; 0.00 GB are "
        "free; make room, or set FOLDWISE_DATA to another disk"
    )
    assert not list((workspace.data / "tiny" / "cache").glob("*/"))


def test_the_size_of_a_large_raw_cache_is_logged(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(building, "WORTH_SAYING", 100_000)
    with caplog.at_level(logging.INFO):
        built(workspace, (48, 64))
    assert "tiny: the image cache takes 0.0 GB" in caplog.text


def test_training_works_from_a_recompressed_cache(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = ["presize=64"]
    raw = train(open_competition(workspace, "tiny"), Selection(overrides=tuple(larger), folds=()))[
        0
    ]
    clear_cache(workspace, "tiny")
    small_disk(monkeypatch, 120_000)  # raw pixels take 172,032 bytes, recompressed about 96,113
    run = train(
        open_competition(workspace, "tiny"), Selection(overrides=tuple(larger), folds=(0,))
    )[0]
    assert run.name != raw.name
    (name,) = run.record.caches
    assert name.endswith("-packed")
    assert (run.fold(0).path / "done.json").is_file()


def test_each_stage_trains_on_the_cache_of_its_size(workspace: Workspace) -> None:
    recipe = workspace.competition("tiny") / "recipes" / "tiny.toml"
    edit(recipe, "image_size = 32", "image_size = 32\npresize = 40")
    edit(recipe, "[[stage]]", "[[stage]]\nepochs = 1\nlr = 1e-2\nimage_size = 24\n\n[[stage]]")
    train(open_competition(workspace, "tiny"), Selection(folds=(0,)))
    from foldwise.executors import FoldJob

    run = only_run(workspace)
    inputs = fold_inputs(FoldJob(workspace.root, workspace.data, workspace.runs, "tiny", run, 0))
    assert [cache.size for cache in inputs.caches] == [(30, 30), (40, 40)]
    from foldwise.training.models.building import load_trained

    _, preprocessing = load_trained(inputs.folder / "weights.safetensors")
    for stage, size in ((0, 30), (1, 40), (-1, 40)):
        cached = inputs.block(preprocessing, stage).dataloaders().train_ds.tls[0].tfms.fs[1].cache
        assert cached.size == (size, size)


def test_another_interpolation_makes_another_cache_of_other_pixels(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    soft, sharp = (
        image_caches(data, [(16, 24)], Resizing(shape="squash", interpolation=kernel))[0]
        for kernel in ("bilinear", "bicubic")
    )
    assert soft.folder != sharp.folder
    full = load_image(workspace.raw("tiny") / "images" / f"{soft.ids[0]}.png", "L")
    expected = full.resize((24, 16), Image.Resampling.BICUBIC)
    assert (pixels_of(sharp, soft.ids[0]) == np.asarray(expected)).all()
    assert (pixels_of(soft, soft.ids[0]) != np.asarray(expected)).any()
