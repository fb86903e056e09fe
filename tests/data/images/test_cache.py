"""The image cache goes on after an interruption, notices damage, and can be cleared."""

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.commands.data import clear_cache
from foldwise.data.competition import image_caches, image_sources, load_data
from foldwise.data.images.cache import ROW, ImageCache, crc_of, finished_cache, open_cache
from foldwise.data.images.resizing import Resizing
from foldwise.errors import ImageError, StorageError
from foldwise.store.files import hold_lock, read_json
from foldwise.workspace import Workspace
from tiny import small_disk


@pytest.fixture(params=[False, True], ids=["raw", "packed"])
def packed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the disk is so small that caches are recompressed: both kinds pass a test."""
    if request.param:
        small_disk(monkeypatch, 100_000)  # raw pixels take 129,024 bytes
    return bool(request.param)


def built(workspace: Workspace) -> ImageCache:
    return image_caches(load_data(workspace, "tiny"), [(48, 64)], Resizing(shape="squash"))[0]


def pixel_file(folder: Path) -> Path:
    """The cache's pixels, whichever kind they are."""
    (found,) = folder.glob("pixels.*")
    return found


def interrupted(workspace: Workspace) -> tuple[np.ndarray, Path]:
    """A cache as a killed build leaves it: some rows not there, one torn; and its whole pixels."""
    cache = built(workspace)
    whole = cache.pixels[np.arange(42)]
    (cache.folder / "done.json").unlink()
    part = cache.folder / "pixels.part"
    os.rename(pixel_file(cache.folder), part)
    rows = np.memmap(cache.folder / "rows.bin", ROW, "r+")
    content = np.memmap(part, np.uint8, "r+")
    rows[:2] = 0  # never begun
    content[rows["start"][2] : rows["start"][2] + rows["bytes"][2]] = 0
    rows["crc"][2] = 0  # begun
    content[rows["start"][7] + 5] ^= 1  # its checksum was written, its pixels were not all
    rows.flush()
    content.flush()
    return whole, cache.folder


def test_a_killed_build_goes_on_and_ends_with_the_same_pixels(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, packed: bool
) -> None:
    whole, folder = interrupted(workspace)
    with caplog.at_level(logging.INFO):
        cache = built(workspace)
    assert cache.folder == folder
    assert folder.name.endswith("-packed") == packed
    assert "38 of 42 images are there already" in caplog.text
    assert (cache.pixels[np.arange(42)] == whole).all()
    assert not (folder / "pixels.part").exists()
    pixel_file(folder).touch()
    open_cache(folder)  # every checksum fits


def test_a_build_of_other_rows_begins_anew(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, packed: bool
) -> None:
    whole, folder = interrupted(workspace)
    (folder / "plan.json").write_text("{}")
    with caplog.at_level(logging.INFO):
        cache = built(workspace)
    assert "there already" not in caplog.text
    assert (cache.pixels[np.arange(42)] == whole).all()


def test_a_touched_file_is_checked_once_and_a_changed_one_refused(
    workspace: Workspace, packed: bool
) -> None:
    folder = built(workspace).folder
    file = pixel_file(folder)
    file.touch()
    open_cache(folder)
    assert read_json(folder / "done.json")["modified_ns"] == file.stat().st_mtime_ns
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ImageError, match=r"is damaged: 2 of 42 images have changed; remove that"):
        open_cache(folder)
    file.write_bytes(content[:-1])
    message = rf"is damaged: pixels.{'pack' if packed else 'u8'} is missing or of another size"
    with pytest.raises(ImageError, match=message):
        open_cache(folder)


def test_changed_records_of_rows_are_noticed(workspace: Workspace) -> None:
    folder = built(workspace).folder
    content = bytearray((folder / "rows.bin").read_bytes())
    content[-5] ^= 1
    (folder / "rows.bin").write_bytes(content)
    for _ in range(2):
        with pytest.raises(
            ImageError, match=r"damaged: rows.bin is missing or has changed; remove"
        ):
            open_cache(folder)
        (folder / "rows.bin").unlink(missing_ok=True)


def test_a_finished_cache_is_found_by_its_sources_and_mode(workspace: Workspace) -> None:
    cache = built(workspace)
    sources = image_sources(load_data(workspace, "tiny"))
    hashes = sources.hashes
    found = finished_cache(replace(sources, hashes=hashes.sample(frac=1, random_state=0)))
    assert found is not None
    assert (found[0].path, found[1].ids) == (cache.folder, (*cache.ids,))
    images = sources.spec.images.model_copy(update={"mode": "RGB"})
    colour = sources.spec.model_copy(update={"images": images})
    assert finished_cache(replace(sources, spec=colour)) is None
    assert finished_cache(replace(sources, hashes=hashes.iloc[1:])) is None
    changed = pd.Series([*hashes[:-1], "other"], index=hashes.index)
    assert finished_cache(replace(sources, hashes=changed)) is None


def test_clearing_removes_images_and_keeps_what_is_known_of_them(
    workspace: Workspace, packed: bool
) -> None:
    folder = built(workspace).folder
    size = pixel_file(folder).stat().st_size
    number, freed = clear_cache(workspace, "tiny")
    assert number == 1
    assert freed > size
    assert not folder.exists()
    assert list(folder.parent.glob("*.parquet"))
    assert clear_cache(workspace, "tiny") == (0, 0)
    assert built(workspace).folder == folder


def test_a_cache_that_is_being_built_is_not_cleared(workspace: Workspace, packed: bool) -> None:
    folder = built(workspace).folder
    with hold_lock(folder.with_name(folder.name.removesuffix("-packed") + ".lock"), "building"):
        with pytest.raises(StorageError, match="is already at work in another process"):
            clear_cache(workspace, "tiny")
    assert (folder / "done.json").is_file()


def test_half_a_build_is_cleared_too(workspace: Workspace) -> None:
    _, folder = interrupted(workspace)
    assert clear_cache(workspace, "tiny")[0] == 1
    assert not folder.exists()
    shutil.rmtree(workspace.raw("tiny") / "images")
    assert clear_cache(workspace, "tiny") == (0, 0)


def test_every_row_has_a_checksum_that_says_it_is_there() -> None:
    zero = b"\x9d\x0a\xd9\x6d"  # its CRC-32 is 0
    assert crc_of(zero) != 0
    assert crc_of(memoryview(b"\0" * 4)) != 0
