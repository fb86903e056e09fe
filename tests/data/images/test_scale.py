"""Images of more than 8 bits become 8 bits by one scale for all images of a competition."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise.commands.planning import scheme_folds
from foldwise.config.competition import load_competition
from foldwise.config.recipe import load_recipe
from foldwise.data.competition import digests, image_caches, image_sources, load_data
from foldwise.data.images.cache import ImageCache, cache_folder
from foldwise.data.images.decoding import load_image
from foldwise.data.images.levels import Levels
from foldwise.data.images.photos import Preparation, decode_photos, look_of
from foldwise.data.images.resizing import Resizing
from foldwise.data.images.scale import describe_levels, recorded_levels
from foldwise.data.opened import OpenCompetition
from foldwise.errors import ImageError, SpecError
from foldwise.training.fitting.run import RunData, open_run
from foldwise.workspace import Workspace
from tiny import edit, ids

NAMES = [*ids("train", 30), *ids("test", 12)]
SIZE = (4, 4)


def save(path: Path, value: float, kind: str) -> None:
    """One colour: uint16 as a PNG, int32 and float32 as TIFFs of that name."""
    pixels = np.full(SIZE, value, kind)
    Image.fromarray(pixels).save(path, "PNG" if kind == "uint16" else "TIFF")


def filled(workspace: Workspace, values: dict[int, float], kind: str = "uint16") -> Path:
    """The images of tiny with these values, by number, and 16 for all others."""
    folder = workspace.raw("tiny") / "images"
    for number, name in enumerate(NAMES):
        save(folder / f"{name}.png", values.get(number, 16), kind)
    return folder


def png(width: int, height: int, colour: int, bits: int, rows: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + kind + body
        content += struct.pack(">I", zlib.crc32(kind + body))
    return content


def cache_of(workspace: Workspace) -> ImageCache:
    return image_caches(load_data(workspace, "tiny"), [SIZE], Resizing(shape="squash"))[0]


def pixel(cache: ImageCache, number: int) -> int:
    return int(cache.pixels[cache.rows(pd.Series([NAMES[number]]))[0]][0, 0, 0])


def unnamed(workspace: Workspace) -> Path:
    """The cache's folder as it was before images had levels."""
    data = load_data(workspace, "tiny")
    sources = replace(image_sources(data), levels=None)
    return cache_folder(sources, Resizing(shape="squash"), SIZE, 4).path


def set_range(workspace: Workspace, text: str) -> None:
    edit(workspace.competition("tiny") / "competition.toml", "[images]", f"[images]\n{text}")


@pytest.mark.parametrize(
    ("greatest", "bits"), [(255, 8), (1000, 10), (3472, 12), (5000, 14), (16384, 16), (65535, 16)]
)
def test_the_greatest_value_of_all_images_tells_their_bits(
    workspace: Workspace, greatest: int, bits: int
) -> None:
    filled(workspace, {35: greatest})  # a test image
    cache = cache_of(workspace)
    assert cache.levels == Levels(0, 2**bits - 1)
    assert pixel(cache, 35) == greatest >> (bits - 8)
    assert pixel(cache, 0) == 16 >> (bits - 8)
    assert (cache.folder == unnamed(workspace)) == (bits == 16)  # full 16 bits stay where they are


def test_images_of_8_bits_have_no_levels_and_their_caches_stay(workspace: Workspace) -> None:
    cache = cache_of(workspace)
    assert cache.levels is None
    assert cache.folder == unnamed(workspace)
    assert describe_levels(load_data(workspace, "tiny").spec, workspace.raw("tiny")) is None


def test_a_range_wins_and_clips_and_is_another_cache(workspace: Workspace) -> None:
    filled(workspace, {0: 3000, 1: 4095})
    by_data = cache_of(workspace)
    set_range(workspace, "range = [0, 4095]")
    assert cache_of(workspace).folder == by_data.folder
    edit(workspace.competition("tiny") / "competition.toml", "4095]", "2000]")
    cache = cache_of(workspace)
    assert cache.folder != by_data.folder
    assert [pixel(cache, number) for number in (0, 1, 2)] == [255, 255, 2]
    told = describe_levels(load_data(workspace, "tiny").spec, workspace.raw("tiny"))
    assert told == (
        "42 images hold 16..4095 in 16 bits: 0..2000 becomes 0..255 ([images] range), values "
        "beyond are clipped"
    )


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("int32", {0: 100_000}, {0: 100_000 >> 10, 1: 0}),  # 18 bits
        ("int32", {0: 255}, {0: 255, 1: 16}),
        ("int32", {0: 1040, 1: -1000}, {0: 255, 1: 0, 2: 127}),
        ("float32", {0: 36.0, 1: -4.0}, {0: 255, 1: 0, 2: 128}),
    ],
)
def test_32_bits_are_scaled_by_what_all_images_hold(
    workspace: Workspace, kind: str, values: dict[int, float], expected: dict[int, int]
) -> None:
    filled(workspace, values, kind)
    cache = cache_of(workspace)
    assert {number: pixel(cache, number) for number in expected} == expected


def test_fractions_of_one_keep_their_scale(workspace: Workspace) -> None:
    filled(workspace, dict.fromkeys(range(42), 0.25), "float32")
    before = digests(load_data(workspace, "tiny"))
    assert pixel(cache_of(workspace), 3) == 64
    set_range(workspace, "range = [0, 0.5]")
    assert pixel(cache_of(workspace), 3) == 128
    assert digests(load_data(workspace, "tiny"))[NAMES[3]] != before[NAMES[3]]


def test_integers_beside_fractions_need_a_range(workspace: Workspace) -> None:
    folder = filled(workspace, {})
    save(folder / f"{NAMES[4]}.png", 0.5, "float32")
    with pytest.raises(
        ImageError, match=r"1 of 42 deep images hold the latter; write \[images\] r"
    ):
        cache_of(workspace)
    set_range(workspace, "range = [0, 100]")
    assert pixel(cache_of(workspace), 4) == 1


def test_pixels_that_are_no_numbers_are_said(workspace: Workspace) -> None:
    folder = filled(workspace, {}, "float32")
    save(folder / f"{NAMES[4]}.png", float("nan"), "float32")
    with pytest.raises(
        ImageError, match=r"1 of 42 .*holds pixels that are no numbers \(NaN or inf"
    ):
        cache_of(workspace)


def test_a_changed_image_changes_the_scale_of_all(workspace: Workspace) -> None:
    folder = filled(workspace, {})
    assert cache_of(workspace).levels == Levels(0, 255)
    save(folder / f"{NAMES[9]}.png", 600, "uint16")
    assert cache_of(workspace).levels == Levels(0, 1023)
    spec = load_data(workspace, "tiny").spec
    assert recorded_levels(spec, workspace.raw("tiny")) == Levels(0, 1023)


@pytest.mark.parametrize("text", ["range = [5, 5]", "range = [9, 0]", "range = [0, inf]"])
def test_a_range_must_rise(workspace: Workspace, text: str) -> None:
    set_range(workspace, text)
    with pytest.raises(
        SpecError, match=r"range.*(should be \[low, high\], e.g. \[0, 4095\]|finite)"
    ):
        load_competition(workspace.competition("tiny"))


def test_an_unset_range_is_in_no_identity(workspace: Workspace) -> None:
    spec = load_competition(workspace.competition("tiny"))
    assert spec.images.path != ("{id}.jpg",)  # what differs from its default is in it
    images: Any = spec.training_part()["images"]
    assert "range" not in images
    set_range(workspace, "range = [0, 4095]")
    images = load_competition(workspace.competition("tiny")).training_part()["images"]
    assert images["range"] == [0, 4095]


def test_photos_are_scaled_as_the_run_remembers(workspace: Workspace, tmp_path: Path) -> None:
    filled(workspace, {number: 4000 - 16 * number for number in range(42)})
    data, cache = load_data(workspace, "tiny"), cache_of(workspace)
    folds = scheme_folds(OpenCompetition(workspace, data))
    recipe = load_recipe(workspace.competition("tiny"), "tiny").with_sizes((0, 0), "bilinear")
    on = RunData(competition=data, folds=folds, caches=[cache])
    record = open_run(workspace.runs, on, recipe, 0, dict).record
    assert record.levels == (0, 4095)
    look = look_of(recipe, record)
    assert look is not None
    assert look.levels == Levels(0, 4095)
    save(tmp_path / "photo.png", 1600, "uint16")  # alone, it would be taken for 12 bits, too
    save(tmp_path / "dark.png", 160, "uint16")
    mine = Preparation(SIZE, 4, Resizing(shape="squash"), False, look.levels)
    files = [tmp_path / "photo.png", tmp_path / "dark.png"]
    paths, failures = decode_photos(files, "L", [mine], tmp_path)
    assert np.load(paths[mine])[:, 0, 0, 0].tolist() == [100, 10]
    assert not failures
    assert np.asarray(load_image(files[0], "L")).max() == 1600 >> 8  # without a run: 16 bits


def colours(path: Path, values: np.ndarray, order: str = ">u2") -> None:
    """A PNG of 16-bit colours or grey with alpha, or a little-endian TIFF: Pillow writes none."""
    height, width, channels = values.shape
    if order == ">u2":
        rows = b"".join(b"\0" + row.astype(order).tobytes() for row in values)
        path.write_bytes(png(width, height, {2: 4, 3: 2, 4: 6}[channels], 16, rows))
        return
    pixels = values.astype(order).tobytes()
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8 + 6),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, 1, len(pixels)),
    ]
    head = struct.pack("<2sHI", b"II", 42, 8 + 6 + len(pixels))
    bits = struct.pack("<3H", 16, 16, 16)
    table = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    path.write_bytes(head + bits + pixels + table + bytes(4))


@pytest.mark.parametrize(("order", "channels"), [(">u2", 3), (">u2", 4), ("<u2", 3)])
def test_16_bit_colours_are_scaled_too(workspace: Workspace, order: str, channels: int) -> None:
    edit(workspace.competition("tiny") / "competition.toml", 'mode = "L"', 'mode = "RGBA"')
    folder = workspace.raw("tiny") / "images"
    for number, name in enumerate(NAMES):
        values = np.full((*SIZE, channels), 80 * number, np.uint16)
        values[..., 1], values[..., 3:] = 1000, 65535
        colours(folder / f"{name}.png", values, order)
    cache = cache_of(workspace)
    assert cache.levels == Levels(0, 4095)
    for number in (0, 7, 41):
        row = cache.rows(pd.Series([NAMES[number]]))[0]
        assert cache.pixels[row][0, 0].tolist() == [5 * number, 62, 5 * number, 255]
    values[..., 0] = 50_000
    colours(folder / f"{NAMES[41]}.png", values, order)
    again = cache_of(workspace)
    assert again.levels == Levels(0, 65535)
    row = again.rows(pd.Series([NAMES[41]]))[0]
    assert again.pixels[row][0, 0].tolist() == [50_000 >> 8, 3, 80 * 41 >> 8, 255]


@pytest.mark.parametrize(("mode", "clear"), [("L", [255]), ("RGB", [255] * 3), ("RGBA", [62] * 3)])
def test_16_bit_grey_with_alpha_is_scaled_as_grey_is(
    workspace: Workspace, mode: str, clear: list[int]
) -> None:
    edit(workspace.competition("tiny") / "competition.toml", 'mode = "L"', f'mode = "{mode}"')
    folder = workspace.raw("tiny") / "images"
    for number, name in enumerate(NAMES):
        values = np.full((*SIZE, 2), 65535, np.uint16)
        values[..., 0] = 80 * number
        values[2:, 2:] = 1000, 0
        colours(folder / f"{name}.png", values)
    cache = cache_of(workspace)
    assert cache.levels == Levels(0, 4095)
    for number in (0, 7, 41):
        pixels = cache.pixels[cache.rows(pd.Series([NAMES[number]]))[0]]
        alpha = [255] if mode == "RGBA" else []
        assert pixels[0, 0].tolist() == [5 * number] * len(clear) + alpha
        assert pixels[3, 3].tolist() == clear + [0] * len(alpha)
    eight = Image.fromarray((values >> 4).clip(0, 255).astype(np.uint8))  # the same in 8 bits
    eight.save(folder / "eight.png")
    shown = load_image(folder / "eight.png", mode)
    assert np.array_equal(np.asarray(shown).reshape(pixels.shape), pixels)
