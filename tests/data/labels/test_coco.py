"""COCO-like JSON becomes one row per image, or one clear line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldwise.data.labels.coco import read_coco
from foldwise.errors import DataError, LabelError


def annotations() -> dict[str, Any]:
    """Three images: ids with leading zeros and as numbers, an odd column, two equal annotations."""
    return {
        "info": {"year": 2020},
        "categories": [{"id": 10, "name": "zebra"}, {"id": 2, "name": "ant"}],
        "images": [
            {"file_name": "b ü.jpg", "id": "007", "location": 267, "width": 24},
            {"id": 12, "file_name": "a.jpg", "location": None, "width": 31},
            {"id": "é", "file_name": "c.jpg", "location": 3, "height": 17},
        ],
        "annotations": [
            {"id": "y", "image_id": "é", "category_id": 2, "count": 1},
            {"id": "x", "image_id": "007", "category_id": 10, "count": 2},
            {"id": "z", "image_id": 12, "category_id": 2},
            {"id": "w", "image_id": 12, "category_id": 2},
        ],
    }


def written(folder: Path, data: object) -> Path:
    path = folder / "train.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_every_image_is_one_row_of_text_in_the_files_order(tmp_path: Path) -> None:
    frame = read_coco(written(tmp_path, annotations()))
    assert list(frame.columns) == ["id", "file_name", "location", "width", "height", "label"]
    assert frame.to_numpy().tolist() == [
        ["007", "b ü.jpg", "267", "24", "", "10"],
        ["12", "a.jpg", "", "31", "", "2"],
        ["é", "c.jpg", "3", "", "17", "2"],
    ]


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "absent"])
def test_test_information_without_annotations_has_no_label(tmp_path: Path, empty: bool) -> None:
    data = annotations()
    data["annotations"] = []
    if not empty:
        del data["annotations"]
    frame = read_coco(written(tmp_path, data))
    assert list(frame["id"]) == ["007", "12", "é"]
    assert "label" not in frame


def damage_unlisted(data: dict[str, Any]) -> None:
    data["annotations"][0]["image_id"] = "gone"


def damage_two_categories(data: dict[str, Any]) -> None:
    data["annotations"][2]["category_id"] = 10


def damage_no_annotation(data: dict[str, Any]) -> None:
    del data["annotations"][1]


def damage_twice(data: dict[str, Any]) -> None:
    data["images"].append(data["images"][0])


def damage_no_images(data: dict[str, Any]) -> None:
    del data["images"]


def damage_image_key(data: dict[str, Any]) -> None:
    del data["images"][1]["file_name"]


def damage_annotation_key(data: dict[str, Any]) -> None:
    del data["annotations"][3]["category_id"]


def damage_entry(data: dict[str, Any]) -> None:
    data["images"][2] = "c.jpg"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_unlisted, r"1 of 3 annotated images are not listed, e\.g\. 'gone'; download"),
        (damage_two_categories, r"1 of 3 have several, e\.g\. '12' has '10', '2'; remove"),
        (damage_no_annotation, r"1 of 3 have none, e\.g\. '007'; download"),
        (damage_twice, r"every 'id' must stand in one row, 1 stand in several, e\.g\. '007'"),
        (damage_no_images, r"list of objects named 'images', got none among .*'info'; is it"),
        (damage_image_key, r"'images' should have 'id' and 'file_name', 1 of 3 do not, e\.g\. {"),
        (damage_annotation_key, r"should have 'image_id' and 'category_id', 1 of 4 do not"),
        (damage_entry, r"1 of 3 do not, e\.g\. \"c.jpg\"; download"),
    ],
)
def test_what_does_not_fit_is_counted_with_an_example(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    data = annotations()
    damage(data)
    with pytest.raises(LabelError, match=message) as caught:
        read_coco(written(tmp_path, data))
    assert "\n" not in str(caught.value)


def test_an_empty_list_of_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="named 'images', got an empty or other value"):
        read_coco(written(tmp_path, {"images": []}))


def test_another_kind_of_json_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="should hold a JSON object with 'images', got a list"):
        read_coco(written(tmp_path, [1, 2]))


@pytest.mark.parametrize(
    "content", [b"", b"{'images': 1}", b'{"images": [', b"\xff\xfe", b"[" * 9999]
)
def test_a_damaged_file_is_no_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(content)
    with pytest.raises(LabelError, match=r"is not readable JSON \(.*\); download it again"):
        read_coco(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the file .*train\.json, found none"):
        read_coco(tmp_path / "train.json")
