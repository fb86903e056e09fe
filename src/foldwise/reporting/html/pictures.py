"""Pictures of a report as data URLs: small JPEGs of images, and maps laid over them."""

import base64
import io
from collections.abc import Sequence
from typing import TypedDict

from PIL import Image, ImageOps

from foldwise.data.competition import CompetitionData
from foldwise.data.images.decoding import images_of
from foldwise.data.images.scale import recorded_levels
from foldwise.errors import ImageError

THUMBNAIL_SIDE = 320  # pixels, the longer side: enough to be enlarged
MAP = 96  # pixels, likewise: a map has a few cells a side
# the ends and the middle of cividis, blue to yellow for every eye (Nuñez et al. 2018, PLoS ONE
# 13(7), read 2026-11-22)
BLUE, GREY, YELLOW = "#00224e", "#7d7c78", "#fee838"


class SeenStage(TypedDict):
    """What a stage of a recorded recipe says of sizes, in pixels; null is the recipe's own."""

    image_size: int | Sequence[int] | None


class SeenRecipe(TypedDict):
    """What a recorded recipe says of the part of an image that its model saw."""

    resize: str
    image_size: int | Sequence[int]
    stage: Sequence[SeenStage]


def data_url(packed: bytes) -> str:
    """A JPEG as a data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(packed).decode()}"


def thumbnail(
    data: CompetitionData, id: str, side: int = THUMBNAIL_SIDE
) -> tuple[str | None, tuple[int, int]]:
    """A training image as a small data URL, and its (width, height); None where it cannot be had.

    That is where it has gone, or the hook that makes it fails on it. side: the longer one, in
    pixels, at most.
    """
    row = data.train.where((data.train.frame["id"] == id).to_numpy())
    try:
        levels = recorded_levels(data.spec, data.raw)
        hook = data.hooks.get("read_image")
        image = images_of(data.spec, row, data.raw, hook, levels=levels)(0).image
    except (ImageError, OSError):
        return None, (1, 1)
    size, image = image.size, image.convert("RGB")
    grow = side // (2 * max(size))  # of tiny images the pixels should be seen
    if grow > 1:
        image = image.resize((size[0] * grow, size[1] * grow), Image.Resampling.NEAREST)
    image.thumbnail((side, side))
    return data_url(_jpeg(image)), size


def overlay(packed: bytes, size: tuple[int, int], recipe: SeenRecipe) -> str:
    """A map of what the model saw, from blue to yellow, as a data URL that lies over the image.

    packed: the map in grey. size: the image's (width, height). recipe: a record's; its `resize`
    tells which part of the image the model saw, and it is blue where it saw nothing.
    """
    grey = fit_map(Image.open(io.BytesIO(packed)), size, recipe)
    return data_url(_jpeg(ImageOps.colorize(grey, BLUE, YELLOW, GREY)))


def fit_map(seen: Image.Image, size: tuple[int, int], recipe: SeenRecipe) -> Image.Image:
    """The grey map in the image's shape, MAP pixels on its longer side; see `overlay`."""
    scale = MAP / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    frame_width, frame_height = width, height  # what the model saw, in pixels of the result
    if recipe["resize"] != "squash":
        side = recipe["stage"][-1]["image_size"] or recipe["image_size"]
        rows, columns = (side, side) if isinstance(side, int) else side
        fits = max if recipe["resize"] == "pad" else min
        scale = fits(width / columns, height / rows)
        frame_width, frame_height = round(columns * scale), round(rows * scale)
    smooth = seen.convert("L").resize((frame_width, frame_height), Image.Resampling.BILINEAR)
    result = Image.new("L", (width, height))
    result.paste(smooth, ((width - frame_width) // 2, (height - frame_height) // 2))
    return result


def _jpeg(image: Image.Image) -> bytes:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return packed.getvalue()
