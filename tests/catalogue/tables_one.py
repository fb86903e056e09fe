"""Downloads of Kaggle competitions whose labels stand in a CSV: cactus to invasive species."""

import json
from pathlib import Path

import numpy as np

from catalogue.files import clutter, image, shuffled, table

TEST = 1000  # numbers of test images, so that none is like a training image
BREEDS = (
    "chow",
    "black-and-tan_coonhound",
    "affenpinscher",
    "soft-coated_wheaten_terrier",
    "shih-tzu",
    "african_hunting_dog",
    "pug",
    "german_short-haired_pointer",
)
OBJECTS = ("frog", "truck", "deer", "automobile", "bird", "horse", "ship", "cat", "dog", "airplane")
HOTELS = {"53586": "0", "980": "5", "18807": "0", "64314": "68", "36363": "9", "60181": "5"}
ATTRIBUTES = {
    "1092": "tags::men",
    "0": "country::afghanistan",
    "13": "country::belgium",
    "448": "culture::italian",
    "782": "dimension::three-dimensional",
    "2281": "medium::silk",
    "3465": "tags::women",
}


def hexes(n: int, digits: int, seed: int) -> list[str]:
    """Hexadecimal ids in no order; the first reads as a number, the second as a float."""
    rng = np.random.default_rng([seed, digits])
    ids = ["".join(rng.choice(list("0123456789abcdef"), digits)) for _ in range(n)]
    ids[0] = "".join(rng.choice(list("0123456789"), digits - 3)).zfill(digits)
    ids[1] = "1e" + "".join(rng.choice(list("0123456789"), digits - 2))
    return ids


def aerial_cactus(raw: Path) -> None:
    """Two classes, ids that are file names, one probability to submit."""
    names = [f"{id}.jpg" for id in hexes(44, 32, 1)]
    train, test = names[:32], sorted(names[32:])
    labels = [int(i % 4 > 0) for i in range(32)]
    table(raw / "train.csv", ["id", "has_cactus"], zip(train, labels, strict=True))
    for number, (name, label) in enumerate(zip(train, labels, strict=True)):
        image(raw / "train" / name, label, number)
    for number, name in enumerate(test):
        image(raw / "test" / name, number % 2, TEST + number)
    table(raw / "sample_submission.csv", ["id", "has_cactus"], [(name, 0.5) for name in test])
    clutter(raw / "train")


def aptos2019(raw: Path) -> None:
    """Five grades, the last in two rows only; a grey and a transparent PNG among the others."""
    ids = hexes(40, 12, 2)
    train, test = ids[:30], ids[30:]
    grades = [i % 4 for i in range(28)] + [4, 4]
    table(raw / "train.csv", ["id_code", "diagnosis"], zip(train, grades, strict=True))
    for number, (id, grade) in enumerate(zip(train, grades, strict=True)):
        mode = {5: "L", 6: "RGBA"}.get(number, "RGB")
        image(raw / "train_images" / f"{id}.png", grade, number, mode)
    for number, id in enumerate(test):
        image(raw / "test_images" / f"{id}.png", number % 5, TEST + number)
    table(raw / "test.csv", ["id_code"], [(id,) for id in test])
    table(raw / "sample_submission.csv", ["id_code", "diagnosis"], [(id, 0) for id in sorted(test)])


def cassava(raw: Path) -> None:
    """Five numbered diseases; ids that look like numbers but for their ending."""
    numbers = np.random.default_rng(3).permutation(np.arange(1_000_015_157, 1_000_015_197))
    names = [f"{number}.jpg" for number in numbers]
    train, test = names[:32], names[32:]
    labels = [(3, 4, 2, 1, 0)[i % 5] for i in range(32)]
    table(raw / "train.csv", ["image_id", "label"], zip(train, labels, strict=True))
    for number, (name, label) in enumerate(zip(train, labels, strict=True)):
        image(raw / "train_images" / name, label, number)
    for number, name in enumerate(test):
        image(raw / "test_images" / name, number % 5, TEST + number)
    table(raw / "sample_submission.csv", ["image_id", "label"], [(name, 4) for name in test])
    diseases = (
        "Bacterial Blight (CBB)",
        "Brown Streak Disease (CBSD)",
        "Green Mottle (CGM)",
        "Mosaic Disease (CMD)",
        "Healthy",
    )
    names_file = raw / "label_num_to_disease_map.json"
    names_file.write_text(json.dumps({str(i): name for i, name in enumerate(diseases)}))


def cifar_10(raw: Path) -> None:
    """Words as classes; train/1.png and test/1.png are different images."""
    labels = [OBJECTS[i % 10] for i in range(38)] + ["frog", "frog"]
    rows = [(i + 1, label) for i, label in enumerate(labels)]
    table(raw / "trainLabels.csv", ["id", "label"], rows)
    for id, label in rows:
        image(raw / "train" / f"{id}.png", OBJECTS.index(label), id)
    for id in range(1, 15):
        image(raw / "test" / f"{id}.png", id % 10, TEST + id)
    table(raw / "sampleSubmission.csv", ["id", "label"], [(id, "cat") for id in range(1, 15)])


def dog_breed(raw: Path) -> None:
    """Long names as classes; the format file has a column for each, sorted."""
    ids = hexes(44, 32, 5)
    train, test = ids[:34], ids[34:]
    breeds = [BREEDS[i % 8] for i in range(32)] + ["pug", "chow"]
    table(raw / "labels.csv", ["id", "breed"], zip(train, breeds, strict=True))
    for number, (id, breed) in enumerate(zip(train, breeds, strict=True)):
        image(raw / "train" / f"{id}.jpg", BREEDS.index(breed), number)
    for number, id in enumerate(test):
        image(raw / "test" / f"{id}.jpg", number % 8, TEST + number)
    uniform = [1 / 8] * 8
    table(
        raw / "sample_submission.csv",
        ["id", *sorted(BREEDS)],
        [(id, *uniform) for id in sorted(test)],
    )
    clutter(raw / "test")


def histopathologic(raw: Path) -> None:
    """TIFF images; the format file is in no order."""
    ids = hexes(40, 40, 6)
    train, test = ids[:30], ids[30:]
    labels = [int(i % 5 in (1, 2)) for i in range(30)]
    table(raw / "train_labels.csv", ["id", "label"], zip(train, labels, strict=True))
    for number, (id, label) in enumerate(zip(train, labels, strict=True)):
        image(raw / "train" / f"{id}.tif", label, number)
    for number, id in enumerate(test):
        image(raw / "test" / f"{id}.tif", number % 2, TEST + number)
    table(raw / "sample_submission.csv", ["id", "label"], [(id, 0) for id in test])


def hotel_id(raw: Path) -> None:
    """Training images in folders by chain; up to five hotels in a cell of the submission."""
    names = [f"{id}.jpg" for id in hexes(42, 16, 7)]
    train, test = names[:30], sorted(names[30:])
    hotels = [list(HOTELS)[i % 6] for i in range(28)] + ["980", "64314"]
    columns = ["image", "chain", "hotel_id", "timestamp"]
    rows = [
        (name, HOTELS[hotel], hotel, f"2018-{i % 12 + 1:02d}-07 16:40:{i:02d}")
        for i, (name, hotel) in enumerate(zip(train, hotels, strict=True))
    ]
    twice = ("ce27d36c9147cc19.jpg", "3", "18807", "2018-11-07 16:40:00")  # as in the real file
    table(raw / "train.csv", columns, [*rows, twice, twice])
    for number, (name, chain, hotel, _) in enumerate(rows):
        image(raw / "train_images" / chain / name, list(HOTELS).index(hotel), number)
    for number, name in enumerate(test):
        image(raw / "test_images" / name, number % 6, TEST + number)
    cell = "36363 53586 18807 64314 60181"
    table(raw / "sample_submission.csv", ["image", "hotel_id"], [(name, cell) for name in test])


def imet_2020(raw: Path) -> None:
    """One to three numbered attributes in a cell, in no order; a grey PNG among the others."""
    ids = hexes(46, 32, 8)
    train, test = ids[:34], sorted(ids[34:])
    tags = list(ATTRIBUTES)
    cells = [
        [tags[i % 7], *([tags[(i + 3) % 7]] * (i % 2)), *([tags[(i + 5) % 7]] * (i % 4 == 3))]
        for i in range(34)
    ]
    rows = [(id, " ".join(cell)) for id, cell in zip(train, cells, strict=True)]
    table(raw / "train.csv", ["id", "attribute_ids"], rows)
    for number, (id, cell) in enumerate(zip(train, cells, strict=True)):
        mode = "L" if number == 9 else "RGB"
        image(raw / "train" / f"{id}.png", tags.index(cell[0]), number, mode)
    for number, id in enumerate(test):
        image(raw / "test" / f"{id}.png", number % 7, TEST + number)
    table(raw / "labels.csv", ["attribute_id", "attribute_name"], ATTRIBUTES.items())
    table(raw / "sample_submission.csv", ["id", "attribute_ids"], [(id, "0 1 2") for id in test])


def invasive_species(raw: Path) -> None:
    """Ids that are numbers; train/1.jpg and test/1.jpg are different photos."""
    order = shuffled(30, 9)
    rows = [(i + 1, int(i % 3 > 0)) for i in order]
    table(raw / "train_labels.csv", ["name", "invasive"], rows)
    for name, label in rows:
        image(raw / "train" / f"{name}.jpg", label, name)
    for name in range(1, 13):
        image(raw / "test" / f"{name}.jpg", name % 2, TEST + name)
    table(raw / "sample_submission.csv", ["name", "invasive"], [(n, 0.5) for n in range(1, 13)])
    clutter(raw / "train")


FIXTURES = {
    "aerial-cactus": aerial_cactus,
    "aptos2019": aptos2019,
    "cassava": cassava,
    "cifar-10": cifar_10,
    "dog-breed": dog_breed,
    "histopathologic": histopathologic,
    "hotel-id": hotel_id,
    "imet-2020": imet_2020,
    "invasive-species": invasive_species,
}
