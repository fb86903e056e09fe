"""What is tried, by number: a plan of kills, or a malformed input and the verb that gets it.

The number and the seed alone decide, so that the same seed gives the same sequence.
"""

import random
import shutil
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from torturing import forms, mutating, packing, pictures, samples
from torturing.kills import Bases, Plan

IMAGES = 6  # malformed images in one folder
KILLS = 0.11  # share of the trials that are kills: about half of the time


@dataclass(frozen=True)
class Input:
    """A verb's arguments, and how many malformed files its workspace holds."""

    arguments: list[str]
    files: int = 1


def draw(seed: int, number: int) -> tuple[str, random.Random]:
    """A trial's kind, a key of INPUTS or `kill`, and its own random numbers."""
    rng = random.Random(f"{seed}/{number}")
    if rng.random() < KILLS:
        return "kill", rng
    weights = [weight for weight, _ in INPUTS.values()]
    return rng.choices([*INPUTS], weights)[0], rng


def plan(seed: int, number: int) -> Plan:
    """The kills of a trial that is one."""
    return Plan.draw(draw(seed, number)[1])


def prepare(seed: int, number: int, bases: Bases, folder: Path) -> Input:
    """Write the workspace of a trial that is an input, its malformed files among it."""
    kind, rng = draw(seed, number)
    return INPUTS[kind][1](bases, folder, rng)


def competition_toml(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """A malformed competition.toml."""
    samples.copy(bases.start("raw"), folder)
    path = folder / "competitions" / "tiny" / "competition.toml"
    path.write_bytes(mutating.toml(samples.SPEC, _keys("competition"), rng))
    return Input(
        rng.choice(
            (
                ["check", "tiny"],
                ["check", "tiny"],
                ["list"],
                ["train", "tiny", "--fast", "--no-track"],
            )
        )
    )


def recipe_toml(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """A malformed recipe, or malformed --set."""
    samples.copy(bases.start("raw"), folder)
    train = ["train", "tiny", "--fast", "--no-track"]
    if rng.random() < 0.2:
        key = rng.choice(_keys("recipe"))
        value = mutating.nasty(rng).replace("\x00", "")[:90_000]
        return Input([*train, "--set", f"{key}={value}".encode(errors="replace").decode()])
    path = folder / "competitions" / "tiny" / "recipes" / "tiny.toml"
    path.write_bytes(mutating.toml(samples.RECIPE, _keys("recipe"), rng))
    return Input(train)


def tables(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """A malformed CSV among the raw files."""
    board = rng.random() < 0.15
    samples.copy(bases.start("trained" if board else "raw"), folder)
    data = folder / "data" / "tiny"
    path = data / "platform" / "truth.csv"
    if not board:
        path = rng.choice(sorted((data / "raw").glob("*.csv")))
    path.write_bytes(mutating.table(path.read_bytes(), rng))
    if board:
        shutil.rmtree(data / "submissions")
        return Input(["submit", "tiny", "--no-track"])
    return Input(rng.choice((["check", "tiny"], ["check", "tiny"], ["data", "tiny"])))


def form(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """A malformed file of labels in another form: CSV of labels or tags, SQLite, COCO's JSON."""
    samples.copy(bases.start("raw"), folder)
    forms.malformed_form(folder, rng)
    return Input(["check", "tiny"])


def member(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """Malformed predictions from elsewhere."""
    samples.copy(bases.start("trained"), folder)
    for name, ids in (("oof", samples.ids("train")), ("test", samples.ids("test"))):
        half, rest = 0.5, 0.5 / (len(samples.CLASSES) - 1)
        rows = [
            [id, *(half if c == number % 3 else rest for c in range(len(samples.CLASSES)))]
            for number, id in enumerate(ids)
        ]
        samples.write_csv(folder / f"{name}.csv", [["id", *samples.CLASSES], *rows])
    path = folder / rng.choice(("oof.csv", "test.csv"))
    path.write_bytes(mutating.table(path.read_bytes(), rng))
    return Input(["blend", "tiny", "--member", "other=oof.csv,test.csv"])


def archive(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """A malformed archive of the raw files."""
    samples.copy(bases.start("bare"), folder)
    name = packing.archive(bases.start("raw") / "data" / "tiny" / "raw", folder, rng)
    return Input(["data", "tiny", "--from", name])


def images_in_raw(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """Malformed images in the places of good ones."""
    samples.copy(bases.start("raw"), folder)
    good = sorted((folder / "data" / "tiny" / "raw" / "images").iterdir())
    for path in rng.sample(good, IMAGES):
        path.write_bytes(pictures.malformed(rng)[1])
    if rng.random() < 0.3:
        _replace(
            folder / "competitions" / "tiny" / "competition.toml",
            'mode = "L"',
            f'mode = "{rng.choice(("RGB", "RGBA"))}"',
        )
    verb = rng.choice((["check", "tiny"], ["train", "tiny", "--show-batch", "--no-track"]))
    return Input(verb, IMAGES)


def photos(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """A folder of malformed photos and odd entries."""
    samples.copy(bases.start("trained"), folder)
    count = pictures.odd_folder(folder / "photos", rng)
    run = next((folder / "runs" / "tiny").glob("tiny-s0-*")).name
    return Input(["predict", run, "photos", "--out", "said.csv"], count)


def photo_list(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """A malformed CSV of photos' paths."""
    samples.copy(bases.start("trained"), folder)
    names = sorted(path.name for path in (folder / "data/tiny/raw/images").iterdir())[:6]
    path = folder / "photos.csv"
    listed = [[name, f"data/tiny/raw/images/{name}"] for name in names]
    samples.write_csv(path, [["id", "path"], *listed])
    path.write_bytes(mutating.table(path.read_bytes(), rng))
    run = next((folder / "runs" / "tiny").glob("tiny-s0-*")).name
    return Input(["predict", run, "photos.csv"])


def download(bases: Bases, folder: Path, rng: random.Random) -> Input:
    """A download with malformed images, tables and odd entries, from which a draft is made."""
    samples.copy(bases.start("bare"), folder)
    source = folder / "download"
    if rng.random() < 0.5:
        samples.write_download(folder)
        for path in rng.sample(sorted(source.rglob("*.png")), 3):
            ending, data = pictures.malformed(rng)
            path.with_suffix(ending).write_bytes(data)
        count = 3 + pictures.odd_folder(source / rng.choice(("odd", "zebra/odd")), rng)
    else:
        shutil.copytree(bases.start("raw") / "data" / "tiny" / "raw", source)
        path = rng.choice(sorted(source.glob("*.csv")))
        path.write_bytes(mutating.table(path.read_bytes(), rng))
        count = 1
    host = ["--host"] if rng.random() < 0.4 else []
    return Input(["new", "fresh", "--from", "download", *host], count)


INPUTS: Mapping[str, tuple[int, Callable[[Bases, Path, random.Random], Input]]] = {
    "competition": (5, competition_toml),
    "recipe": (5, recipe_toml),
    "table": (6, tables),
    "form": (5, form),
    "member": (1, member),
    "archive": (6, archive),
    "image": (5, images_in_raw),
    "photos": (4, photos),
    "photo list": (1, photo_list),
    "download": (3, download),
}


def _replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def _keys(which: str) -> list[str]:
    """Every dotted key that the settings of a competition or a recipe have."""
    from foldwise.config.competition import CompetitionSpec
    from foldwise.config.recipe import Recipe

    models = {"competition": CompetitionSpec, "recipe": Recipe}
    return sorted({*_fields(models[which], "")})


def _fields(model: type[BaseModel], path: str) -> Iterator[str]:
    for name, about in model.model_fields.items():
        yield path + name
        many = typing.get_origin(about.annotation) in (tuple, list)
        for inner in _models(about.annotation):
            middle = "default." if typing.get_origin(about.annotation) is dict else ""
            middle = "0." if many else middle
            yield from _fields(inner, f"{path}{name}.{middle}")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The settings models that an annotation names."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for each in typing.get_args(annotation):
        yield from _models(each)
