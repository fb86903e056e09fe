"""Does a change change what foldwise gives? Eight tiny competitions, with two versions of the code.

Each is submitted by either version in a folder of its own; then out-of-fold and test predictions of
every fold, the blend, the submission's bytes and the ledger's events are compared, but for names,
times and versions. They differ between one number of threads and another, so each process has one.

    python benchmarks/same.py BASE [HEAD]

BASE and HEAD are revisions of git; without HEAD it is the working tree. Prints a line per
competition and exits with 1 where anything differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("2", "0", "1")  # as numbers: kappa wants an order
PARTS = {"train": 48, "solution": 24}
RECIPES = {
    "net": 'model = "test_resnet"\nbatch_size = 8\ntta = ["none", "hflip"]\naugment.rotate = 5',
    "sums": 'model = "linear"\nbatch_size = 16',
}
STAGE = """
weights = "none"
image_size = 24
deterministic = true
[[stage]]
epochs = 2
lr = 3e-3
"""
SPEC = """
title = "{name}"
platform = "local"
{more}
[labels]
{labels}
[images]
path = "images/{{id}}.png"
mode = "L"
[metric]
{metric}
[submission]
{submission}
[folds.default]
kind = "{kind}"
n = 3
[submit]
recipes = ["net", "sums"]
blend = "{blend}"
"""
FILES = '[files]\ntrain = "train.csv"\nformat = "sample.csv"\nsolution = "solution.csv"\n'
ONE = 'format = "class_column"\ncolumn = "label"'
TAGS = 'format = "delimited"\ncolumn = "label"'
DRAWN = {
    "wide": {},
    "auto": {"blend": "auto"},
    "label": {"metric": 'name = "accuracy"', "submission": 'shape = "label"'},
    "kappa": {"metric": 'name = "kappa"', "submission": 'shape = "label"', "blend": "climb"},
    "top": {"metric": 'name = "map"\nk = 2', "submission": 'shape = "top"\nk = 2'},
    "tags": {
        "labels": TAGS,
        "metric": 'name = "f1"\naverage = "macro"',
        "submission": 'shape = "tags"\nnone = "-"',
    },
    "columns": {"labels": TAGS, "blend": "stack"},
    "holdout": {
        "labels": ONE + '\ngroup = "site"',
        "kind": "stratified_group",
        "more": '[files]\ntrain = "train.csv"\n[holdout]\nfraction = 0.3\n',
    },
}


def main() -> None:
    """Compare two versions and say what differs."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("base")
    words.add_argument("head", nargs="?", help="by default the working tree")
    options = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="foldwise-same-") as folder:
        place = Path(folder)
        with tree(options.base, place) as base, tree(options.head, place) as head:
            jobs = [(name, side) for name in DRAWN for side in (base, head)]
            with ThreadPoolExecutor(2) as pool:
                given = list(pool.map(lambda job: submitted(place, *job), jobs))
    pairs = zip(DRAWN, given[::2], given[1::2], strict=True)
    different = [name for name, one, other in pairs if told(name, one, other)]
    print(f"{len(DRAWN)} competitions, {len(different)} different")
    sys.exit(bool(different))


@contextmanager
def tree(revision: str | None, place: Path) -> Iterator[Path]:
    """The folder of a version; a revision is checked out below `place` for a while."""
    if revision is None:
        yield ROOT
        return
    folder = place / f"at-{revision.replace('/', '-')}"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "-q", "--detach", str(folder), revision], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def submitted(place: Path, name: str, code: Path) -> dict[str, Any]:
    """What a version gives for a competition: see `collected`."""
    folder = place / f"{name}-{code.name}"
    write(folder, name)
    own = {key: text for key, text in os.environ.items() if not key.startswith("FOLDWISE_")}
    done = subprocess.run(
        [sys.executable, "-m", "foldwise", "submit", name, "--no-track"],
        cwd=folder,
        env=own | {"PYTHONPATH": str(code / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return {"error": (done.stderr or done.stdout).strip().splitlines()[-1]}
    return dict(collected(folder, name))


def write(folder: Path, name: str) -> None:
    """A competition's folder and its raw files: images whose stripe tells the class."""
    settings = {"labels": ONE, "metric": "", "submission": "", "blend": "mean", "more": FILES}
    settings |= {"kind": "stratified", **DRAWN[name]}
    home, raw = folder / "competitions" / name, folder / "data" / name / "raw"
    (home / "recipes").mkdir(parents=True)
    (raw / "images").mkdir(parents=True)
    (home / "competition.toml").write_text(SPEC.format(name=name, **settings))
    for recipe, text in RECIPES.items():
        (home / "recipes" / f"{recipe}.toml").write_text(text + STAGE)
    tables = {part: draw(raw, part, settings["labels"] == TAGS) for part in PARTS}
    for part, table in tables.items():
        table.to_csv(raw / f"{part}.csv", index=False)
    sample = tables["solution"][["id"]].copy()
    if settings["submission"]:
        sample["label"] = CLASSES[0]
    else:
        sample[list(CLASSES)] = 1 / 3
    sample.to_csv(raw / "sample.csv", index=False)


def draw(raw: Path, part: str, tags: bool) -> pd.DataFrame:
    """The rows `id, label, site` of a part, whose images are written."""
    rng = np.random.default_rng(len(part))
    rows = []
    for number in range(PARTS[part]):
        codes = [number % 3] + ([(number + 1) % 3] if tags and number % 4 == 0 else [])
        pixels = rng.integers(0, 90, (24, 24))
        for code in codes:
            pixels[8 * code : 8 * code + 6] += 120
        id = f"{part[0]}{number:03d}"
        Image.fromarray(pixels.astype(np.uint8)).save(raw / "images" / f"{id}.png")
        rows.append((id, " ".join(CLASSES[code] for code in codes), f"{part} {number % 8}"))
    return pd.DataFrame(rows, columns=["id", "label", "site"])


def collected(folder: Path, name: str) -> Iterator[tuple[str, Any]]:
    """What a submit has left: predictions as frames, the blend's and ledger's values, bytes."""
    runs = folder / "runs" / name
    for recipe in RECIPES:
        (run,) = runs.glob(f"{recipe}-s0-*")
        for path in sorted(run.glob("fold*/*.parquet")):
            yield f"{recipe} {path.parent.name} {path.stem}", pd.read_parquet(path)
    (blend,) = runs.glob("blend-*/blend.json")
    record = json.loads(blend.read_text())
    yield "blend", {key: record[key] for key in ("method", "score", "expected", "chain")}
    for part in ("oof", "test"):
        yield f"blend {part}", pd.read_parquet(blend.parent / f"{part}.parquet")
    (file,) = (folder / "data" / name / "submissions").glob("*.csv")
    yield "file", file.read_bytes()
    events = (file.parent / "ledger.jsonl").read_text().splitlines()
    yield (
        "ledger",
        [
            {
                key: value
                for key, value in json.loads(event).items()
                if key not in ("time", "file", "version")
            }
            for event in events
        ],
    )


def told(name: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Print how two versions' results differ, and whether they do."""
    every = dict.fromkeys([*one, *other])
    differ = [each for each in every if unlike(one.get(each), other.get(each))]
    words = "the same" if not differ else "different: " + "; ".join(differ[:6])
    for side, given in (("base", one), ("head", other)):
        words += f"; {side}: {given['error']}" if "error" in given else ""
    print(f"{name:8} {len(one)} results {words}", flush=True)
    return bool(differ) or "error" in one or "error" in other


def unlike(one: Any, other: Any) -> bool:
    """Whether two results differ."""
    if isinstance(one, pd.DataFrame) and isinstance(other, pd.DataFrame):
        return not one.equals(other)
    return bool(one != other) if type(one) is type(other) else True


if __name__ == "__main__":
    main()
