"""COCO-like JSON, as the FGVC camera-trap competitions ship it: one row per listed image."""

import json
from collections import defaultdict
from pathlib import Path

import pandas as pd

from foldwise.errors import DataError, LabelError, examples
from foldwise.tables.text import unique_ids


def read_coco(path: Path) -> pd.DataFrame:
    """One row per entry of `images`, in the file's order.

    Columns, all text: `id`, `file_name`, what else `images` says ("" where an entry lacks it), and
    with annotations `label`, the category's id. Test information without annotations has no label.

    Raises: DataError: the file is missing.
            LabelError: it is no such JSON; an id stands twice; an annotation is of an unlisted
            image; an image has no category, or two.
    """
    data = _parse(path)
    images = _entries(data, "images", ("id", "file_name"), path)
    frame = pd.DataFrame([{k: _text(v) for k, v in image.items()} for image in images], dtype=str)
    frame = frame.fillna("")
    frame = frame[["id", "file_name", *frame.columns.difference(["id", "file_name"], sort=False)]]
    unique_ids(frame, "id", path)
    if data.get("annotations"):
        frame["label"] = _labels(data, frame["id"], path)
    return frame


def _labels(data: dict[str, object], ids: "pd.Series[str]", path: Path) -> list[str]:
    """The category of each id; several annotations may agree. Raises: LabelError."""
    found: dict[str, set[str]] = defaultdict(set)
    for annotation in _entries(data, "annotations", ("image_id", "category_id"), path):
        found[_text(annotation["image_id"])].add(_text(annotation["category_id"]))
    listed = set(ids)
    unlisted = [id for id in found if id not in listed]
    if unlisted:
        raise LabelError(
            f"{path}: every annotation should be of an image in 'images', {len(unlisted)} of "
            f"{len(found)} annotated images are not listed, e.g. {examples(unlisted, 1)}; download "
            "the file again"
        )
    several = [id for id in ids if len(found.get(id, ())) > 1]
    if several:
        raise LabelError(
            f"{path}: every image should have one category, {len(several)} of {len(ids)} have "
            f"several, e.g. {several[0]!r} has {examples(sorted(found[several[0]]))}; remove all "
            "annotations but one, or the images"
        )
    lacking = [id for id in ids if id not in found]
    if lacking:
        raise LabelError(
            f"{path}: every image should have an annotation, {len(lacking)} of {len(ids)} have "
            f"none, e.g. {lacking[0]!r}; download the file again, or remove the images from it"
        )
    return [next(iter(found[id])) for id in ids]


def _parse(path: Path) -> dict[str, object]:
    """The JSON object in a file. Raises: DataError: it is missing. LabelError: it is no JSON."""
    if not path.is_file():
        raise DataError(f"expected the file {path}, found none")
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested without end
        raise LabelError(f"{path} is not readable JSON ({error}); download it again") from error
    if not isinstance(data, dict):
        raise LabelError(
            f"{path} should hold a JSON object with 'images', got a {type(data).__name__}; is it "
            "the right file?"
        )
    return data


def _entries(
    data: dict[str, object], name: str, keys: tuple[str, ...], path: Path
) -> list[dict[str, object]]:
    """The list of objects under a name, each with these keys. Raises: LabelError."""
    entries = data.get(name)
    if not isinstance(entries, list) or not entries:
        got = "none" if name not in data else "an empty or other value"
        raise LabelError(
            f"{path} should hold a list of objects named {name!r}, got {got} among the keys "
            f"{examples(sorted(data), 6)}; is it the right file?"
        )
    bad = [entry for entry in entries if not isinstance(entry, dict) or not entry.keys() >= {*keys}]
    if bad:
        wanted = " and ".join(map(repr, keys))
        raise LabelError(
            f"{path}: every entry of {name!r} should have {wanted}, {len(bad)} of {len(entries)} "
            f"do not, e.g. {json.dumps(bad[0])[:80]}; download the file again"
        )
    return entries


def _text(value: object) -> str:
    return "" if value is None else str(value)
