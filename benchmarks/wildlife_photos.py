"""Invented camera-trap photos in the layout of DrivenData's wildlife competition (conser-vision).

The background belongs to the site and the animal to its class alone, so a model validated in
random folds recognises sites and flatters itself, and one in site-grouped folds cannot.
"""

import argparse
import hashlib
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

TRAIN_ROWS, TEST_ROWS, TRAIN_SITES, TEST_SITES = 16488, 4464, 148, 51
FEW_JOBS = 50  # so few are done in this process
LOOK = "wildlife_photos 1"  # raise it when the drawing changes: older photos are then redrawn
Size = tuple[int, int]  # width and height in pixels
_font = lru_cache(ImageFont.load_default)

# class: share of the competition's train rows, chance of night, lowest and highest patch as shares
# of the photo's height, number of spots, coats; in the submission's order
ANIMALS = {
    "antelope_duiker": (0.15, 0.4, 0.55, 1.1, 0, [(150, 88, 48), (122, 86, 60), (168, 122, 76)]),
    "bird": (0.1, 0.15, 0.35, 0.75, 0, [(58, 60, 76), (95, 80, 60), (38, 44, 52), (124, 112, 100)]),
    "blank": (0.134, 0.45, 0.0, 0.0, 0, []),
    "civet_genet": (0.147, 0.75, 0.5, 0.95, 34, [(152, 142, 120), (130, 118, 95)]),
    "hog": (0.059, 0.4, 0.55, 1.1, 0, [(62, 52, 46), (84, 60, 46), (44, 41, 41)]),
    "leopard": (0.137, 0.6, 0.6, 1.15, 80, [(208, 162, 94), (190, 146, 86)]),
    "monkey_prosimian": (0.151, 0.15, 0.45, 0.9, 0, [(70, 68, 62), (94, 84, 64), (48, 46, 48)]),
    "rodent": (0.122, 0.7, 0.3, 0.6, 0, [(110, 90, 70), (90, 82, 78), (130, 100, 70)]),
}
CLASSES = list(ANIMALS)
# class: shapes in a 240 x 160 patch, facing right: line width, tone, points; a tone is a factor on
# the coat or a colour of its own; width 0 fills a polygon, or an ellipse in a box of two points
SHAPES = {
    "antelope_duiker": """6 .75 76 148 86 85 99 148; 6 .8 135 148 145 84 155 148; 0 1 62 46 162 92;
        0 1 138 62 176 22 190 34 160 82; 0 .95 170 14 212 38; 0 .7 177 18 166 4 185 14""",
    "bird": """3 #be8c3c 106 142 116 106 129 142; 0 .8 98 84 46 108 58 78; 0 1 76 60 156 114;
        0 .6 84 66 138 102; 0 .85 138 44 172 76; 0 #de9628 168 54 194 63 167 68""",
    "civet_genet": """12 1 70 80 38 72 4 82; 12 .3 56 77 50 75; 12 .3 38 73 32 74;
        12 .3 18 77 10 80; 9 .45 72 124 84 90 96 124; 9 .45 132 124 143 90 154 124;
        0 1 58 60 164 99; 0 1.1 150 52 190 84; 0 1.2 182 62 207 76 180 82; 0 .3 166 62 184 75""",
    "hog": """13 .75 76 142 87 98 98 142; 13 .75 134 142 144 98 155 142; 0 1 46 34 168 114;
        0 .6 70 40 110 24 152 40 110 50; 0 .6 160 54 148 32 172 50;
        0 1 144 46 200 82 204 100 150 106; 0 1.5 190 80 210 103; 3 #e1d7be 182 100 190 84""",
    "leopard": """9 .95 60 72 32 96 14 124 26 138; 14 .9 66 144 80 90 94 144;
        14 .95 142 144 153 90 164 144; 0 1 50 50 178 99; 0 1 162 38 206 82; 0 1.35 190 58 212 79""",
    "monkey_prosimian": """5 .9 86 92 50 72 36 36 58 10; 12 .8 98 112 120 134 100 146;
        0 1 82 56 138 130; 10 .85 124 80 152 144; 0 1 116 28 158 70; 0 #c4a88e 136 38 158 63""",
    "rodent": """3 1.3 76 112 42 120 8 112; 5 .7 86 130 90 118; 5 .7 134 130 130 118;
        0 1 66 76 148 127; 0 1 130 86 176 121; 0 1.25 138 76 154 95; 0 1.3 90 110 140 127""",
}


class Tables(NamedTuple):
    """The rows of both sets, `id, filepath, site, label`, and the format file in `sample`."""

    train: pd.DataFrame
    test: pd.DataFrame
    sample: pd.DataFrame


def make_tables(seed: int, train_rows: int = TRAIN_ROWS, test_rows: int = TEST_ROWS) -> Tables:
    """Invented tables: heavy-tailed sites, each with its own class mix, no site in both sets."""
    rng = _rng(seed, "tables")
    names = rng.permutation([f"S{i:04d}" for i in range(TRAIN_SITES + TEST_SITES)])
    train = _new_rows(rng, "train", 0, train_rows, names[:TRAIN_SITES])
    test = _new_rows(rng, "test", max(TRAIN_ROWS, train_rows), test_rows, names[TRAIN_SITES:])
    # 2.5: a site-only predictor then scores about 1.3 in random folds, as it does on the real rows
    mixes = rng.dirichlet([2.5 * share for share, *_ in ANIMALS.values()], TRAIN_SITES)
    train["label"] = _draw_classes(rng, train["site"], dict(zip(names, mixes, strict=False)))
    sample = pd.DataFrame(rng.dirichlet(np.ones(8), test_rows).round(9), columns=CLASSES)
    sample.insert(0, "id", test["id"])
    return Tables(train, _invent_truth(seed, train, test), sample)


def read_tables(folder: Path, seed: int, train_rows: int = 0, test_rows: int = 0) -> Tables:
    """The competition's four CSVs, or so many random rows (0: all); test classes are invented.

    Raises: ValueError: a row without its label, or a label without its row.
    """
    train, labels, test, sample = (
        pd.read_csv(Path(folder) / f"{name}.csv")
        for name in ("train_features", "train_labels", "test_features", "submission_format")
    )
    for part, df, other in (("train", train, labels), ("test", test, sample)):
        if odd := sorted(set(df["id"]) ^ set(other["id"])):
            raise ValueError(f"{part}: {len(odd)} ids are in one CSV of two, e.g. {odd[0]!r}.")
    label = labels[["id"]].assign(label=labels[CLASSES].idxmax(axis=1))
    train = train.merge(label, on="id", validate="one_to_one")
    test = _invent_truth(seed, train, test)
    taken = []
    for df, rows in ((train, train_rows), (test, test_rows)):
        order = _rng(seed, "rows").permutation(len(df))[: rows or None]  # fewer: a part of more
        taken.append(df.iloc[np.sort(order)].reset_index(drop=True))
    return Tables(*taken, taken[1][["id"]].merge(sample, on="id", validate="one_to_one"))


def write_photos(tables: Tables, target: Path, seed: int, size: Size = (640, 360)) -> int:
    """How many photos were drawn now; fills `target`/raw, then writes `target`/truth.csv.

    A photo depends on seed, id, site, class and size only. A digest of them is its JPEG comment, by
    which a finished photo is skipped and an outdated one replaced or, if in no row, removed.

    Raises: FileExistsError: a photo in the way was not made here.
    """
    raw, jobs = Path(target) / "raw", []
    for part, df in (("train", tables.train), ("test", tables.test)):
        (raw / f"{part}_features").mkdir(parents=True, exist_ok=True)
        wanted = {raw / path for path in df["filepath"]}
        for path in (raw / f"{part}_features").glob("*.jpg"):
            if b"wildlife_photos" not in path.read_bytes():
                raise FileExistsError(f"{path} was not made here. Choose another target.")
            if path not in wanted:
                path.unlink()
        for site, rows in df.groupby("site"):
            cells = rows[["id", "label", "filepath"]].values.tolist()
            jobs += [(raw, seed, size, site, cells[i : i + 99]) for i in range(0, len(cells), 99)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:  # a caller may have threads
        drawn = sum((map if len(jobs) < FEW_JOBS else pool.map)(_write_site, jobs))
    _write_csvs(tables, raw, seed)
    return drawn


def main(argv: list[str] | None = None) -> None:
    """Nothing; writes the tables and photos that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="gets raw/ and, outside it, truth.csv")
    parser.add_argument("--csvs", type=Path, help="the real CSVs; without it they are invented")
    parser.add_argument("--train-rows", type=int, default=TRAIN_ROWS, help="default: all")
    parser.add_argument("--test-rows", type=int, default=TEST_ROWS, help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", default="640x360", help="width x height in pixels")
    args = parser.parse_args(argv)
    if args.csvs and args.csvs.resolve() == (args.target / "raw").resolve():
        parser.error("--csvs must not be TARGET/raw: the CSVs there would be overwritten")
    rows = args.seed, args.train_rows, args.test_rows
    tables = read_tables(args.csvs, *rows) if args.csvs else make_tables(*rows)
    width, height = map(int, args.size.split("x"))
    drawn = write_photos(tables, args.target, args.seed, (width, height))
    print(f"{len(tables.train) + len(tables.test)} photos, {drawn} of them drawn now")


def _rng(*key: object) -> Generator:
    digest = hashlib.sha256("|".join(map(str, key)).encode()).hexdigest()
    return np.random.default_rng(int(digest[:32], 16))


def _new_rows(rng: Generator, part: str, first: int, rows: int, names: np.ndarray) -> pd.DataFrame:
    """Rows `id, filepath, site`; each site has one, and a few sites have many."""
    names = names[: max(2, rows // 12)]
    size = 1 / (np.arange(len(names)) + 6) - 1 / (len(names) + 12)  # near the real quantiles
    more = rng.choice(names, max(0, rows - len(names)), p=size / size.sum())
    df = pd.DataFrame({"id": [f"ZJ{first + i:06d}" for i in range(rows)]})
    df["filepath"] = f"{part}_features/" + df["id"] + ".jpg"
    return df.assign(site=rng.permutation(np.concatenate([names, more])[:rows]))


def _draw_classes(rng: Generator, sites: pd.Series, mix_of: dict) -> np.ndarray:
    steps = np.cumsum([mix_of[site] for site in sites], axis=1)[:, :-1]  # (rows, classes - 1)
    return np.array(CLASSES)[(rng.random((len(sites), 1)) > steps).sum(axis=1)]


def _invent_truth(seed: int, train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """`test` with `label`, each site borrowing a train site's class mix."""
    rng = _rng(seed, "truth")
    counts = pd.crosstab(train["site"], train["label"]).reindex(columns=CLASSES, fill_value=0)
    sizes = counts.sum(axis=1)  # donors are drawn by size, so the expected prior is train's
    sites = sorted(test["site"].unique())
    donors = rng.choice(len(counts), len(sites), p=sizes / sizes.sum())
    mixes = counts.div(sizes, axis=0).to_numpy()[donors]
    return test.assign(label=_draw_classes(rng, test["site"], dict(zip(sites, mixes, strict=True))))


def _write_csvs(tables: Tables, raw: Path, seed: int) -> None:
    """One-hot labels are floats in the competition's file and integers in truth.csv."""
    labels, truth = (
        df[["id"]].assign(**{name: (df["label"] == name).astype(kind) for name in CLASSES})
        for df, kind in ((tables.train, float), (tables.test, int))
    )
    truth["part"] = _rng(seed, "parts").permutation(np.resize(["public", "private"], len(truth)))
    for part, df in (("train", tables.train), ("test", tables.test)):
        df[["id", "filepath", "site"]].to_csv(raw / f"{part}_features.csv", index=False)
    labels.to_csv(raw / "train_labels.csv", index=False)
    tables.sample.to_csv(raw / "submission_format.csv", index=False)
    truth.to_csv(raw.parent / "truth.csv", index=False)


def _write_site(job: tuple) -> int:
    """How many of one site's photos were drawn."""
    raw, seed, size, site, cells = job
    drawn = 0
    for id_, label, filepath in cells:
        path, temporary = raw / filepath, raw / f"{filepath}.tmp"
        comment = f"{LOOK} {_rng(seed, id_, site, label, size).bytes(9).hex()}"
        if not (path.exists() and comment.encode() in path.read_bytes()):
            photo = _draw_photo(_rng(seed, id_, label), label, _background(seed, site, size), size)
            photo.save(temporary, "JPEG", quality=85, comment=comment)
            temporary.replace(path)
            drawn += 1
    return drawn


def _smooth(rng: Generator, width: int, height: int, cells: int) -> np.ndarray:
    """Smooth noise around 0, between -1 and 1: (height, width, 1)."""
    grid = Image.fromarray(rng.uniform(-1, 1, (cells, 2 * cells)).astype(np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))[:, :, None]


@lru_cache(maxsize=2)
def _background(seed: int, site: str, size: Size) -> Image.Image:
    """What the site's camera sees at a quarter of the resolution, with a margin for shaking."""
    rng = _rng(seed, site)
    width, height = size[0] // 4 + 4, size[1] // 4 + 4
    far = rng.uniform(60, 170) * rng.uniform((0.65, 0.95, 0.45), (1.05, 1.1, 0.95))
    near = rng.uniform(60, 160) * rng.uniform((0.9, 0.7, 0.4), (1.1, 1.05, 0.75))
    bark = np.array((110, 95, 80)) * rng.uniform(0.3, 0.8)
    ground = np.clip(np.linspace(0, 8, height) - rng.uniform(1.5, 5), 0, 1)[:, None, None]
    view = (far * (1 - ground) + near * ground) * np.ones((1, width, 1))
    for cells in (3, 8, 24):
        view = view * (1 + rng.uniform(0.1, 0.4) * _smooth(rng, width, height, cells))
    image = Image.fromarray(view.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for most, colour, top, low in ((60, far, 0, 0.5), (6, near, 0.5, 1)):  # leaves, stones
        spots = rng.uniform((0, top, 0.02), (1, low, 0.1), (rng.integers(most), 3))
        for x, y, half in spots * (width, height, height):
            box = x - half, y - half / 2, x + half, y
            draw.ellipse(box, _rgb(colour * rng.uniform(0.4, 1.1)))
    trunks = rng.uniform((0, -0.1, 0.4, 0.02), (1, 0.1, 0.9, 0.1), (rng.integers(1, 8), 4))
    for x, lean, foot, wide in trunks:
        line = (x + lean) * width, 0, x * width, foot * height
        draw.line(line, _rgb(bark * rng.uniform(0.7, 1.3)), int(wide * width))
    return image


def _draw_animal(rng: Generator, label: str, height: int) -> Image.Image:
    """The animal on a transparent patch, facing either way, partly hidden at times."""
    _, _, low, high, spots, coats = ANIMALS[label]
    coat = np.array(coats[rng.integers(len(coats))]) * rng.uniform(0.75, 1.25)
    patch = Image.new("RGBA", (240, 160), (*_rgb(coat), 0))
    draw = ImageDraw.Draw(patch)
    for shape in SHAPES[label].split(";"):
        width, tone, *points = shape.split()
        colour = tone if tone[0] == "#" else _rgb(coat * float(tone))
        points = (np.array(points, float) + rng.normal(0, 1.5, len(points))).tolist()
        kind = "line" if width != "0" else "ellipse" if len(points) == 4 else "polygon"
        getattr(draw, kind)(points, colour, width=int(width))
    for x, y, r in rng.uniform((64, 58, 2), (164, 94, 4.5), (spots, 3)):
        draw.ellipse((x - r, y - r, x + r, y + r), _rgb(coat * 0.25))
    if rng.random() < 0.35:  # stems in front of it
        for x in rng.uniform(20, 220, rng.integers(1, 4)):
            draw.line((x, 0, x + rng.normal(0, 20), 160), 0, int(rng.integers(6, 26)))
    patch = patch.rotate(rng.normal(0, 6), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        patch = patch.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tall = height * rng.uniform(low, high)
    size = max(3, int(tall * 1.5 * rng.uniform(0.85, 1.15))), max(3, int(tall))
    return patch.resize(size, Image.Resampling.BOX)


def _draw_photo(rng: Generator, label: str, view: Image.Image, size: Size) -> Image.Image:
    """The site's view with the animal, in the light of day or in infrared, and a stamp below."""
    left, top = rng.integers(0, 5, 2).tolist()
    width, height = view.width - 4, view.height - 4
    image = view.crop((left, top, left + width, top + height))
    if label in SHAPES:
        patch = _draw_animal(rng, label, height)
        x, foot, opacity = rng.uniform((0.05, 0.6, 0.75), (0.95, 1.05, 1))
        where = int(x * width - patch.width / 2), int(foot * height - patch.height)
        image.paste(patch, where, patch.getchannel("A").point(lambda alpha: int(alpha * opacity)))
    if rng.random() < (0.1 if label in SHAPES else 0.3):  # a branch in the wind
        x, y, dx, dy = rng.uniform((0, 0, -0.5, -0.5), (1, 0.7, 0.5, 0.5)) * (2 * (width, height))
        ImageDraw.Draw(image).line((x, y, x + dx, y + dy), _rgb(rng.uniform(20, 70, 3)), 3)
    night = rng.random() < ANIMALS[label][1]
    image = image.convert("L").convert("RGB") if night else image
    light = rng.uniform(0.65, 1.25) * (1 + 0.35 * _smooth(rng, width, height, 2))
    image = Image.fromarray((image * light).clip(0, 255).astype(np.uint8)).resize(size)
    grain = rng.standard_normal((size[1], size[0], 1), np.float32) * np.float32(rng.uniform(3, 12))
    image = Image.fromarray((image + grain).clip(0, 255).astype(np.uint8))
    bar = max(1, size[1] // 18)
    image.paste((0, 0, 0), (0, size[1] - bar, *size))
    month, day, hour, minute, warm = rng.integers((1, 1, 6, 0, 19), (13, 29, 18, 60, 31)).tolist()
    stamp = f"2014-{month:02d}-{day:02d}  {(hour + 12 * night) % 24:02d}:{minute:02d}  {warm} C"
    ImageDraw.Draw(image).text((bar, size[1] - bar), stamp, font=_font(bar * 0.75))
    return image


def _rgb(colour: np.ndarray) -> tuple[int, ...]:
    return tuple(np.clip(colour, 0, 255).astype(int).tolist())


if __name__ == "__main__":
    main()
