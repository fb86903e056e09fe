"""Downloads whose labels stand in folders, file names, tags or a database: mostly people's own."""

import sqlite3
from pathlib import Path

import numpy as np
from PIL import Image

from catalogue.files import clutter, image, shuffled, table

TEST = 1000  # numbers of test images, so that none is like a training image
SEEDLINGS = (
    "Sugar beet",
    "Black-grass",
    "Maize",
    "Small-flowered Cranesbill",
    "Common wheat",
    "Fat Hen",
    "Loose Silky-bent",
    "Shepherds Purse",
)
GUITARS = (
    "Gibson Les Paul",
    "Fender Stratocaster",
    "Rickenbacker 330",
    "Gibson SG",
    "Fender Telecaster",
    "Höfner 500-1",
    "Gibson ES-335",
    "PRS Custom 24",
    "Gretsch White Falcon",
    "Fender Jazzmaster",
    "Gibson Flying V",
)
MASKS = (
    "Surgical",
    "Cloth",
    "No_mask!",
    "KN95",
    "Gas",
    "Medical",
    "Shield Cloth",
    "Medical Shield",
    "-",
    "KN95 Shield",
    "Gas",
    "No_mask!",
)
DISEASES = (
    "scab",
    "healthy",
    "rust",
    "frog_eye_leaf_spot",
    "complex",
    "powdery_mildew",
    "scab frog_eye_leaf_spot",
    "rust complex",
    "powdery_mildew complex",
)


def as_palette(path: Path) -> None:
    """Make an image file a palette image with a transparent colour."""
    with Image.open(path) as opened:
        palette = opened.convert("P")
    palette.save(path, transparency=0)


def dogs_vs_cats_redux(raw: Path) -> None:
    """The label in the file name; numbers that start from 0 in train and from 1 in test."""
    for number in range(16):
        image(raw / "train" / f"cat.{number}.jpg", 0, number, "L" if number == 3 else "RGB")
        image(raw / "train" / f"dog.{number}.jpg", 1, number)
    clutter(raw / "train")
    tests = [number + 1 for number in shuffled(10, seed=1)]
    for number in tests:
        image(raw / "test" / f"{number}.jpg", number % 2, TEST + number)
    clutter(raw / "test")
    table(raw / "sample_submission.csv", ["id", "label"], [(number, 0.5) for number in tests])


def plant_seedlings(raw: Path) -> None:
    """PNG files in folders with spaces; grey, palette and transparent ones among them."""
    for label, species in enumerate(SEEDLINGS):
        for number in range(5):
            path = (
                raw
                / "train"
                / species
                / f"{0x1A2B3C4D5 * (5 * label + number + 7) % 16**9:09x}.png"
            )
            mode = {2: "L", 3: "RGBA"}.get(number + label, "RGB")
            image(path, label, number, mode)
            if number == 4 and label < 2:
                as_palette(path)
    clutter(raw / "train" / "Maize")
    names = [f"{0xF0E1D2C3B * (number + 3) % 16**9:09x}.png" for number in range(12)]
    for number, name in enumerate(names):
        image(raw / "test" / name, number % len(SEEDLINGS), TEST + number)
    table(
        raw / "sample_submission.csv", ["file", "species"], [(name, "Sugar beet") for name in names]
    )


def chest_xray(raw: Path) -> None:
    """Patients in several of the delivered parts; the numbers of NORMAL and NORMAL2 meet."""
    parts = ("train", "train", "test", "val")
    for patient in range(12):  # NORMAL: some with a third number, one patient with one image
        prefix = "NORMAL2-" if patient % 2 else ""
        for scan in range(1 if patient == 4 else 2):
            third = f"-{scan + 1:04d}" if patient % 3 == 0 else ""
            name = f"{prefix}IM-{115 + patient // 2:04d}-{scan + 1:04d}{third}.jpeg"
            image(raw / parts[(patient + scan) % 4] / "NORMAL" / name, 0, 10 * patient + scan, "L")
    for patient in range(11):  # PNEUMONIA: person1 and person11 are two; some images are RGB
        for scan in range(2):
            kind = "virus" if patient in (3, 7) else "bacteria"
            name = f"person{patient + 1}_{kind}_{40 * patient + scan + 6}.jpeg"
            mode = "RGB" if patient == 5 else "L"
            folder = raw / parts[(2 * patient + scan) % 4] / "PNEUMONIA"
            image(folder / name, 1, 10 * patient + scan, mode)
    clutter(raw / "val" / "NORMAL")
    clutter(raw / "train")


def guitars(raw: Path) -> None:
    """Eleven folders; the same stem twice in one, folders inside another, odd names and kinds."""
    for label, name in enumerate(GUITARS):
        folder = raw / "images" / name
        for number in range(5):
            image(folder / f"{number + 1}.jpg", label, number, "L" if number == label else "RGB")
        if label == 0:
            (folder / "1959").mkdir()
            (folder / "5.jpg").rename(folder / "1959" / "Kirsch rot, Rückseite (1).jpg")
            image(folder / "1.png", label, 5, "RGBA")
        if label == 1:
            image(folder / "1.png", label, 5)
            as_palette(folder / "1.png")
            image(folder / "left" / "back" / "1.JPG", label, 6)
    clutter(raw / "images" / "Fender Telecaster")
    clutter(raw / "images")


def logos(raw: Path) -> None:
    """Two clubs: transparent images, all of 140x140 pixels, names with spaces and umlauts."""
    rng = np.random.default_rng(140)
    for label, club in enumerate(("Malmö FF", "AIK")):
        for number in range(20):
            pixels = rng.integers(0, 60, (140, 140, 4)).astype(np.uint8)
            pixels[20:70, 30:110, label] += 180
            pixels[..., 3] = 255
            pixels[:10, :, 3] = number  # nearly transparent above
            path = raw / "logos" / club / f"{club} {number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        clutter(raw / "logos" / club)


def masks(raw: Path) -> None:
    """Tags with a space between them, or "-"; names with spaces, accents and other endings."""
    rows = []
    for number in shuffled(45, seed=3):
        name = {4: "été à la plage.jpg", 9: "x.png", 10: "x.jpg"}.get(number, f"face {number}.jpg")
        tags = MASKS[number % len(MASKS)]
        label = MASKS.index(tags)
        image(raw / "images" / name, label, number, "RGBA" if number == 9 else "RGB")
        rows.append((name, tags))
    table(raw / "labels.csv", ["image", "tags"], rows)
    clutter(raw / "images")


def swipr(raw: Path) -> None:
    """A database: failure codes, folders that are always no, nobody, several people, a flag."""
    usual = ("24.5", 1, 0)
    cases = {  # by number % 12: ages, num_people, male_present; all but `usual` are no
        1: ("31,5.5", 2, 0),
        2: (None, 0, None),
        4: ("67", 1, 1),
        7: ("31,5.5,2", 3, 1),
        8: (None, 0, None),
    }
    failed = {5: ("-1", -1, 0), 11: ("24.5", -1, None)}  # by number
    rows = []
    for number in shuffled(48, seed=4):
        path = f"photos/profile {number % 7}/{number}.jpg"
        if number % 12 == 3:
            path = f"photos/landscapes/Åre {number}.jpg"  # always no
        yes = number % 12 not in (*cases, 3)
        image(raw / path, int(yes), number)
        rows.append((path, "unknown", *failed.get(number, cases.get(number % 12, usual))))
    connection = sqlite3.connect(raw / "pics.db")
    connection.execute(
        "CREATE TABLE pics (path TEXT, label TEXT, ages TEXT, num_people INT, male_present INT)"
    )
    connection.executemany("INSERT INTO pics VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    clutter(raw / "photos")


def plant_pathology_2021_small(raw: Path) -> None:
    """Tags with spaces between them, of which "healthy" is one; the solution lies beside."""
    names = [f"{0x9E3779B97F4A7C15 * (number + 1) % 16**16:016x}.jpg" for number in range(48)]
    tags = [DISEASES[number % len(DISEASES)] for number in range(48)]
    labels = [number % len(DISEASES) for number in range(48)]
    rows = list(zip(names, tags, strict=True))
    for number in range(48):
        folder = "train_images" if number < 36 else "test_images"
        image(raw / folder / names[number], labels[number], number)
    table(raw / "train.csv", ["image", "labels"], rows[:36])
    test = sorted(rows[36:])
    table(
        raw / "sample_submission.csv", ["image", "labels"], [(name, "healthy") for name, _ in test]
    )
    table(raw / "solution.csv", ["image", "labels"], rows[36:])
    clutter(raw / "train_images")


FIXTURES = {
    "chest-xray": chest_xray,
    "dogs-vs-cats-redux": dogs_vs_cats_redux,
    "guitars": guitars,
    "logos": logos,
    "masks": masks,
    "plant-pathology-2021-small": plant_pathology_2021_small,
    "plant-seedlings": plant_seedlings,
    "swipr": swipr,
}
