"""Pictures: thumbnails of what can be read, and maps that lie where the model looked."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foldwise.data.competition import load_data
from foldwise.reporting.html.pictures import fit_map, overlay, thumbnail
from foldwise.workspace import Workspace
from reporting.making import packed
from tiny import ids

SPOT = np.zeros((8, 8), np.uint8)
SPOT[:, 0] = 255  # the model saw something at its left edge


def opened(url: str | None) -> Image.Image:
    assert url is not None
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))


def recipe(resize: str, size: Any = 64) -> dict[str, Any]:
    return {"resize": resize, "image_size": size, "stage": [{"image_size": None}]}


def columns(map: Image.Image) -> np.ndarray:
    """The columns where a map is bright, as shares of its width."""
    bright = np.asarray(map).max(axis=0) > 128
    return np.flatnonzero(bright) / map.width


def test_a_squashed_image_was_seen_whole() -> None:
    map = fit_map(Image.fromarray(SPOT), (192, 96), recipe("squash"))
    assert map.size == (96, 48)
    assert columns(map).max() < 1 / 8
    assert np.asarray(map)[:, 0].min() == 255


def test_of_a_cropped_image_the_middle_was_seen() -> None:
    map = fit_map(Image.fromarray(SPOT), (200, 100), recipe("crop"))
    assert map.size == (96, 48)
    assert 0.25 <= columns(map).min() <= columns(map).max() < 0.25 + 0.5 / 8
    assert np.asarray(map)[:, :24].max() == 0


def test_of_a_padded_image_the_padding_lies_outside() -> None:
    seen = np.zeros((8, 8), np.uint8)
    seen[:2] = 255  # the padding above a wide image
    assert np.asarray(fit_map(Image.fromarray(seen), (200, 100), recipe("pad")))[8:].max() == 0
    seen[2:4] = 255  # the image's upper half
    map = np.asarray(fit_map(Image.fromarray(seen), (200, 100), recipe("pad")))
    assert map[:16].min() > 128
    assert map[32:].max() == 0


def test_the_last_stages_shape_counts() -> None:
    told = {**recipe("crop"), "stage": [{"image_size": None}, {"image_size": [32, 64]}]}
    map = fit_map(Image.fromarray(SPOT), (200, 100), told)  # two to one: all of it was seen
    assert columns(map).min() == 0


@pytest.mark.parametrize("size", [(3, 500), (500, 3), (1, 1)])
def test_odd_shapes_have_maps_of_their_shape(size: tuple[int, int]) -> None:
    for resize in ("squash", "crop", "pad"):
        map = opened(overlay(packed(Image.fromarray(SPOT), "PNG"), size, recipe(resize)))
        assert max(map.size) == 96


def test_a_tiny_image_is_enlarged_and_a_large_one_made_smaller(workspace: Workspace) -> None:
    first = ids("train", 30)[0]
    path = workspace.raw("tiny") / "images" / f"{first}.png"
    for size, shown in (((8, 6), (160, 120)), ((1000, 500), (320, 160))):
        Image.new("L", size, 200).save(path)
        url, original = thumbnail(load_data(workspace, "tiny"), first)
        assert (opened(url).size, original) == (shown, size)


def test_an_image_that_has_gone_has_no_thumbnail(workspace: Workspace) -> None:
    first, second = ids("train", 30)[:2]
    data = load_data(workspace, "tiny")
    (data.raw / "images" / f"{first}.png").unlink()
    (data.raw / "images" / f"{second}.png").write_bytes(b"")
    assert thumbnail(data, first)[0] is thumbnail(data, second)[0] is None


def test_what_a_hook_reads_is_shown(workspace: Workspace) -> None:
    (workspace.competition("tiny") / "adapter.py").write_text(
        "import numpy as np\n"
        "def read_image(spec, row):\n"
        "    return np.full((20, 10, 1), 7, np.uint8)\n"
    )
    url, size = thumbnail(load_data(workspace, "tiny"), ids("train", 30)[0])
    assert size == (10, 20)
    assert opened(url).convert("L").getextrema() == (7, 7)


def test_what_speaks_for_a_class_is_yellow_and_the_rest_blue() -> None:
    map = opened(overlay(packed(Image.fromarray(SPOT), "PNG"), (100, 100), recipe("squash")))
    red, green, blue = np.asarray(map)[50, 2].astype(int)
    assert min(red, green) > 200 > 100 > blue
    red, green, blue = np.asarray(map)[50, 90].astype(int)
    assert blue > 60 > max(red, green)
