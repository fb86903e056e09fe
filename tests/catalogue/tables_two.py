"""Downloads of Kaggle competitions whose labels stand in a CSV: paddy to whale."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from catalogue.files import clutter, image, shuffled, table
from catalogue.tables_one import TEST, hexes

DISEASES = (
    "normal",
    "hispa",
    "tungro",
    "blast",
    "brown_spot",
    "dead_heart",
    "bacterial_leaf_streak",
    "bacterial_panicle_blight",
    "bacterial_leaf_blight",
    "downy_mildew",
)
VARIETIES = ("ADT45", "KarnatakaPonni", "Ponni", "IR20")
GROUND = (
    "agriculture",
    "road",
    "water",
    "cultivation",
    "habitation",
    "bare_ground",
    "selective_logging",
    "artisinal_mine",
    "blooming",
    "slash_burn",
    "blow_down",
    "conventional_mine",
)
LEAVES = (
    "scab",
    "healthy",
    "frog_eye_leaf_spot",
    "rust",
    "complex",
    "powdery_mildew",
    "scab frog_eye_leaf_spot",
    "scab frog_eye_leaf_spot complex",
    "rust complex",
    "powdery_mildew complex",
)
FINDINGS = (
    "ETT - Abnormal",
    "ETT - Borderline",
    "ETT - Normal",
    "NGT - Abnormal",
    "NGT - Borderline",
    "NGT - Incompletely Imaged",
    "NGT - Normal",
    "CVC - Abnormal",
    "CVC - Borderline",
    "CVC - Normal",
    "Swan Ganz Catheter Present",
)
LESIONS = ["image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"]
DRIVERS = ("p002", "p012", "p014", "p015", "p016", "p021", "p022", "p081")
WHALES = ("w_e15442c", "w_1287fbc", "new_whale", "w_98baff9", "w_7554f44", "w_1eafe46", "w_0027efa")


def paddy(raw: Path) -> None:
    """Training images in folders by class; the format file's label column is empty."""
    names = [f"{100330 + i}.jpg" for i in shuffled(32, 10)]
    labels = [DISEASES[i % 10] for i in range(30)] + ["normal", "normal"]
    rows = [
        (name, label, VARIETIES[i % 4], 45 + 5 * (i % 7))
        for i, (name, label) in enumerate(zip(names, labels, strict=True))
    ]
    table(raw / "train.csv", ["image_id", "label", "variety", "age"], rows)
    for number, (name, label, _, _) in enumerate(rows):
        image(raw / "train_images" / label / name, DISEASES.index(label), number)
    test = [f"{200001 + i}.jpg" for i in range(12)]
    for number, name in enumerate(test):
        image(raw / "test_images" / name, number % 10, TEST + number)
    table(raw / "sample_submission.csv", ["image_id", "label"], [(name, "") for name in test])
    clutter(raw / "train_images" / "blast")


def planet(raw: Path) -> None:
    """All 17 tags; `cloudy` stands alone; test_* and file_* in a folder each."""
    weather = ("clear", "partly_cloudy", "haze")
    cells = [sorted({weather[(i + i // 12) % 3], "primary", GROUND[i % 12]}) for i in range(36)]
    cells += [["cloudy"]] * 4
    names = [f"train_{i}" for i in shuffled(40, 11)]
    rows = [(name, " ".join(cell)) for name, cell in zip(names, cells, strict=True)]
    table(raw / "train_v2.csv", ["image_name", "tags"], rows)
    for number, (name, _) in enumerate(rows):
        image(raw / "train-jpg" / f"{name}.jpg", number % 12, number)
    test = [f"test_{i}" for i in range(8)] + [f"file_{i}" for i in (0, 1, 10, 2)]
    for number, name in enumerate(test):
        folder = "test-jpg" if name.startswith("test") else "test-jpg-additional"
        image(raw / folder / f"{name}.jpg", number % 12, TEST + number)
    cell = "primary clear agriculture road water"
    table(raw / "sample_submission_v2.csv", ["image_name", "tags"], [(n, cell) for n in test])


def plant_pathology_2020(raw: Path) -> None:
    """One-hot columns, here as floats; both sets in one folder; one class in two rows only."""
    classes = ("healthy", "multiple_diseases", "rust", "scab")
    labels = [(0, 2, 3)[i % 3] for i in range(30)] + [1, 1]
    rows = [(f"Train_{i}", *np.eye(4)[label]) for i, label in enumerate(labels)]
    table(raw / "train.csv", ["image_id", *classes], rows)
    for number, label in enumerate(labels):
        image(raw / "images" / f"Train_{number}.jpg", label, number)
    test = [f"Test_{i}" for i in range(12)]
    for number, name in enumerate(test):
        image(raw / "images" / f"{name}.jpg", number % 4, TEST + number)
    table(raw / "test.csv", ["image_id"], [(name,) for name in test])
    table(
        raw / "sample_submission.csv",
        ["image_id", *classes],
        [(name, 0.25, 0.25, 0.25, 0.25) for name in test],
    )
    clutter(raw / "images")


def plant_pathology_2021(raw: Path) -> None:
    """Six tags in ten combinations; `healthy` is one of them."""
    names = [f"{id}.jpg" for id in hexes(42, 16, 13)]
    train, test = names[:32], names[32:]
    cells = [LEAVES[i % 10] for i in range(32)]
    table(raw / "train.csv", ["image", "labels"], zip(train, cells, strict=True))
    for number, (name, cell) in enumerate(zip(train, cells, strict=True)):
        image(raw / "train_images" / name, LEAVES.index(cell), number)
    for number, name in enumerate(test):
        image(raw / "test_images" / name, number % 10, TEST + number)
    table(raw / "sample_submission.csv", ["image", "labels"], [(name, "healthy") for name in test])


def ranzcr(raw: Path) -> None:
    """Eleven findings, some together and one row with none; eight patients; grey X-rays."""
    rng = np.random.default_rng(14)
    uids = [
        "1.2.826.0.1.3680043.8.498." + "".join(rng.choice(list("123456789"), 38)) for _ in range(50)
    ]
    patients = hexes(8, 9, 14)
    rows = []
    for i, uid in enumerate(uids[:40]):
        hot = np.zeros(11, dtype=int)
        if i != 21:
            hot[[i % 11, 7 + i % 4]] = 1
        rows.append((uid, *hot, patients[i % 8]))
        image(raw / "train" / f"{uid}.jpg", i % 11, i, "RGB" if i == 30 else "L")
    table(raw / "train.csv", ["StudyInstanceUID", *FINDINGS, "PatientID"], rows)
    for number, uid in enumerate(uids[40:]):
        image(raw / "test" / f"{uid}.jpg", number, TEST + number, "L")
    table(
        raw / "sample_submission.csv",
        ["StudyInstanceUID", *FINDINGS],
        [(uid, *[0] * 11) for uid in uids[40:]],
    )
    drawn = [(uids[0], "ETT - Abnormal", "[[1487, 1279], [1477, 1168]]", patients[0])]
    columns = ["StudyInstanceUID", "label", "data", "PatientID"]
    table(raw / "train_annotations.csv", columns, drawn)


def siim_isic(raw: Path) -> None:
    """Eight patients with few malignant lesions, three others in the test set; empty cells."""
    names = [f"ISIC_{number:07d}" for number in 15_719 + 37 * np.array(shuffled(52, 15))]
    train, test = names[:40], sorted(names[40:])
    rows = []
    for i, name in enumerate(train):
        target = int(i % 5 == 0)
        known = _lesion(name, f"IP_{7279968 + 101 * (i % 8)}", i)
        words = ("melanoma", "malignant") if target else ("unknown", "benign")
        rows.append((*known, *words, target))
        image(raw / "jpeg" / "train" / f"{name}.jpg", target, i)
    table(raw / "train.csv", [*LESIONS, "diagnosis", "benign_malignant", "target"], rows)
    for number, name in enumerate(test):
        image(raw / "jpeg" / "test" / f"{name}.jpg", number % 2, TEST + number)
    rows = [_lesion(name, f"IP_{3579794 + 103 * (i % 3)}", i) for i, name in enumerate(test)]
    table(raw / "test.csv", LESIONS, rows)
    table(raw / "sample_submission.csv", ["image_name", "target"], [(name, 0) for name in test])


def _lesion(name: str, patient: str, i: int) -> Sequence[object]:
    sex = "" if i % 9 == 4 else ("male", "female")[i % 2]
    place = "" if i % 7 == 3 else ("head/neck", "upper extremity", "torso")[i % 3]
    return name, patient, sex, "" if i % 9 == 4 else 25.0 + 5 * (i % 10), place


def state_farm(raw: Path) -> None:
    """Ten classes in folders, eight drivers; the test set has others; names sorted as text."""
    numbers = np.random.default_rng(16).permutation(np.arange(20, 102_150))[:40]
    rows = []
    for i, number in enumerate(numbers):
        label = i % 10 if i < 38 else 0
        rows.append((DRIVERS[(label + 3 * (i // 10)) % 8], f"c{label}", f"img_{number}.jpg"))
        image(raw / "imgs" / "train" / f"c{label}" / f"img_{number}.jpg", label, i)
    table(raw / "driver_imgs_list.csv", ["subject", "classname", "img"], sorted(rows))
    test = sorted(f"img_{number}.jpg" for number in range(1, 13))
    for number, name in enumerate(test):
        image(raw / "imgs" / "test" / name, number % 10, TEST + number)
    classes = [f"c{label}" for label in range(10)]
    table(raw / "sample_submission.csv", ["img", *classes], [(name, *[0.1] * 10) for name in test])
    clutter(raw / "imgs" / "train" / "c0")


def whale(raw: Path) -> None:
    """Grey and coloured photos; a whale with two photos; up to five ids in a cell."""
    names = [f"{id}.jpg" for id in hexes(42, 8, 17)]
    train, test = names[:32], sorted(names[32:])
    whales = [WHALES[i % 6] for i in range(30)] + ["w_0027efa", "w_0027efa"]
    table(raw / "train.csv", ["Image", "Id"], zip(train, whales, strict=True))
    for number, (name, whale) in enumerate(zip(train, whales, strict=True)):
        mode = "L" if number % 3 else "RGB"
        image(raw / "train" / name, WHALES.index(whale), number, mode)
    for number, name in enumerate(test):
        image(raw / "test" / name, number % 7, TEST + number, "RGB" if number % 3 else "L")
    cell = "new_whale w_1287fbc w_98baff9 w_7554f44 w_1eafe46"
    table(raw / "sample_submission.csv", ["Image", "Id"], [(name, cell) for name in test])


FIXTURES = {
    "paddy": paddy,
    "planet": planet,
    "plant-pathology-2020": plant_pathology_2020,
    "plant-pathology-2021": plant_pathology_2021,
    "ranzcr": ranzcr,
    "siim-isic": siim_isic,
    "state-farm": state_farm,
    "whale": whale,
}
