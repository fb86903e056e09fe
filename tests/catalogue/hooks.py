"""Downloads that hooks read (rows as images, JSON, radar bands), camera traps, and leaves."""

import json
from pathlib import Path

import numpy as np

from catalogue.files import clutter, image, shuffled, table

TEST = 1000  # numbers of test images, so that none is like a training image
LEAVES = (
    "Quercus_Ilex",
    "Acer_Opalus",
    "Tilia_Tomentosa",
    "Betula_Austrosinensis",
    "Zelkova_Serrata",
    "Cornus_Chinensis",
)
MEASURED = [f"{kind}{number}" for kind in ("margin", "shape", "texture") for number in range(1, 65)]
ANIMALS = (
    "antelope_duiker",
    "bird",
    "blank",
    "civet_genet",
    "hog",
    "leopard",
    "monkey_prosimian",
    "rodent",
)
CATEGORIES = (19, 3, 0, 11, 1, 16)  # iWildCam: sorted neither as numbers nor as text
IWILDCAM_2019 = (
    "date_captured",
    "file_name",
    "frame_num",
    "id",
    "location",
    "rights_holder",
    "seq_id",
    "seq_num_frames",
    "width",
    "height",
)


def digits(raw: Path) -> None:
    """Nothing: the competition's own `prepare` writes everything."""


def leaf(raw: Path) -> None:
    """Grey photos of train and test in one folder; ids between each other; 192 other columns."""
    ids = [number + 1 for number in shuffled(46, seed=1)]
    rng = np.random.default_rng(1)
    rows = []
    for position, id in enumerate(ids):
        label = position % len(LEAVES)
        image(raw / "images" / f"{id}.jpg", label, id, "L")
        rows.append((id, LEAVES[label], *rng.random(len(MEASURED)).round(6)))
    table(raw / "train.csv", ["id", "species", *MEASURED], rows[:36])
    table(raw / "test.csv", ["id", *MEASURED], [(row[0], *row[2:]) for row in rows[36:]])
    uniform = [1 / len(LEAVES)] * len(LEAVES)
    columns = ["id", *sorted(LEAVES)]
    table(raw / "sample_submission.csv", columns, [(id, *uniform) for id in sorted(ids[36:])])
    clutter(raw / "images")


def wildlife(raw: Path) -> None:
    """Four CSVs, one-hot labels as floats in another order, no site in train and test."""
    ids = {
        "train": [f"ZJ{i:06d}" for i in shuffled(41, seed=2)],
        "test": [f"ZJ{i + 16488:06d}" for i in shuffled(12, seed=3)],
    }
    for part, names in ids.items():
        rows = []
        for number, id in enumerate(names):
            path = f"{part}_features/{id}.jpg"
            label = number % 8
            night = "L" if number % 5 == 0 else "RGB"
            image(raw / path, label, number + TEST * (part == "test"), night)
            site = (number // 8 + 3 * label) % 12 + 1 if part == "train" else 90 + number % 3
            site = 148 if number == 40 else site  # a site with one image
            rows.append((id, path, f"S{site:04d}"))
        table(raw / f"{part}_features.csv", ["id", "filepath", "site"], rows)
    hot = [(id, *np.eye(8)[number % 8]) for number, id in enumerate(ids["train"])]
    table(raw / "train_labels.csv", ["id", *ANIMALS], hot[::-1])
    random = np.random.default_rng(4).dirichlet(np.ones(8), len(ids["test"]))
    rows = [(id, *row) for id, row in zip(ids["test"], random, strict=True)]
    table(raw / "submission_format.csv", ["id", *ANIMALS], rows)


def trap_rows(n: int, first: int, site: int, seed: int) -> list[dict]:
    """Images of camera traps as iWildCam lists them, in no order; the last site has one image."""
    rows = []
    for number in shuffled(n, seed):
        id = f"{0x9E3779B1 * (first + number + 1) % 16**8:08x}-21bc-11ea-a13a-137349068a90"
        place = site + (99 if number == n - 1 else (number // 6 + 2 * number) % 12)
        row = {"file_name": f"{id}.jpg", "id": id, "location": place, "width": 24, "height": 17}
        row |= {"seq_id": f"{first}-{place}", "seq_num_frames": 3, "frame_num": number // 6 % 3}
        row |= {"label": number % 6, "number": first + number}
        rows.append(row)
    return rows


def iwildcam_2019(raw: Path) -> None:
    """Plain CSVs with many columns; categories as numbers; other locations in test."""
    parts = {"train": trap_rows(37, 0, 3, 5), "test": trap_rows(12, TEST, 500, 6)}
    for part, rows in parts.items():
        for row in rows:
            row |= {"date_captured": "2012-03-17 03:48:44", "rights_holder": "Jürgen, J. Brown"}
            row["category_id"] = CATEGORIES[row["label"]]
            image(raw / f"{part}_images" / row["file_name"], row["label"], row["number"])
        columns = ["category_id", *IWILDCAM_2019] if part == "train" else [*IWILDCAM_2019]
        table(raw / f"{part}.csv", columns, [[row[c] for c in columns] for row in rows])
    ids = sorted(row["id"] for row in parts["test"])
    table(raw / "sample_submission.csv", ["Id", "Predicted"], [(id, 0) for id in ids])
    clutter(raw / "train_images")


def iwildcam_2020(raw: Path) -> None:
    """COCO-like JSON: annotations in another order than images, test information without any."""
    parts = {"train": trap_rows(37, 2 * TEST, 3, 7), "test": trap_rows(12, 3 * TEST, 500, 8)}
    categories = [{"id": id, "name": f"species {id}", "count": 6} for id in CATEGORIES]
    for part, rows in parts.items():
        data: dict[str, object] = {"info": {"year": 2020}, "categories": categories}
        annotations = []
        for row in rows:
            label, number = row.pop("label"), row.pop("number")
            row["datetime"] = "2013-06-05 05:44:19.000"
            image(raw / part / row["file_name"], label, number)
            annotations.append(
                {
                    "id": f"a{number}",
                    "image_id": row["id"],
                    "count": 1,
                    "category_id": CATEGORIES[label],
                }
            )
        data["images"] = rows
        if part == "train":
            data["annotations"] = annotations[::-1]
        name = "train_annotations" if part == "train" else "test_information"
        (raw / f"iwildcam2020_{name}.json").write_text(json.dumps(data), encoding="utf-8")
    ids = sorted(row["id"] for row in parts["test"])
    table(raw / "sample_submission.csv", ["Id", "Category"], [(id, 0) for id in ids])
    clutter(raw / "test")


def digit_recognizer(raw: Path) -> None:
    """Rows of 784 pixels; no ids but the row numbers of the sample submission."""
    rng = np.random.default_rng(9)
    pixels = rng.integers(0, 60, (52, 28, 28))
    labels = [number % 10 for number in (*shuffled(42, seed=9), *shuffled(10, seed=10))]
    for image_pixels, label in zip(pixels, labels, strict=True):
        image_pixels[2 * label + 3 : 2 * label + 8] += 190
        image_pixels[:, 0] = 0
    columns = [f"pixel{number}" for number in range(784)]
    flat = pixels.reshape(52, 784)
    rows = [(label, *row) for label, row in zip(labels[:42], flat[:42], strict=True)]
    table(raw / "train.csv", ["label", *columns], rows)
    table(raw / "test.csv", columns, flat[42:])
    table(raw / "sample_submission.csv", ["ImageId", "Label"], [(i, 0) for i in range(1, 11)])


def statoil(raw: Path) -> None:
    """Two bands of 5,625 decibels in JSON; some angles "na", some values out of the range."""
    rng = np.random.default_rng(10)
    ids = [f"{0x9E3779B1 * (number + 1) % 16**8:08x}" for number in range(38)]
    rows = []
    for number, id in enumerate(ids):
        bands = rng.normal((-20, -26), 3, (75 * 75, 2)).round(1)
        iceberg = number % 2
        bands[75 * 30 : 75 * (36 + 6 * iceberg)] += 18
        bands[:3] = [[-60, -50], [34.9, 50], [0, 0]]
        angle = "na" if number % 7 == 3 and number < 30 else round(float(rng.uniform(30, 46)), 4)
        rows.append(
            {
                "id": id,
                "band_1": bands[:, 0].tolist(),
                "band_2": bands[:, 1].tolist(),
                "inc_angle": angle,
                "is_iceberg": iceberg,
            }
        )
    test = [{key: value for key, value in row.items() if key != "is_iceberg"} for row in rows[30:]]
    (raw / "train.json").write_text(json.dumps(rows[:30]), encoding="utf-8")
    (raw / "test.json").write_text(json.dumps(test), encoding="utf-8")
    table(raw / "sample_submission.csv", ["id", "is_iceberg"], [(id, 0.5) for id in ids[30:]])


FIXTURES = {
    "digit-recognizer": digit_recognizer,
    "digits": digits,
    "iwildcam-2019": iwildcam_2019,
    "iwildcam-2020": iwildcam_2020,
    "leaf": leaf,
    "statoil": statoil,
    "wildlife": wildlife,
}
