"""How near foldwise comes to the hardware, and how far it is from its peers: pairs in one run.

    python benchmarks/speed.py [--images FOLDER] [--only NAME ...]

prints a line `name ratio bar ok|short` per figure with the median over the pairs, and adds a row
per figure to results/speed.csv. It ends with exit code 1 where a figure is short: where the whole
interval of its pairs lies under the bar. Without --images, photos are generated.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from apart import Apart
from foldwise.config.recipe import SizedRecipe
from foldwise.store.ledger import now
from foldwise.tables.listing import images_below
from inputs import BATCH, PHOTOS, RECIPE, cache_of, generated, invented, table_of
from provenance import append, provenance

Pairs = list[tuple[float, float]]  # ours, theirs
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "speed.csv"
BARS = {
    "train_vs_fastai": 4.0,
    "train_vs_timm": 1.1,
    "train_vs_bare_step": 0.92,
    "data_vs_fastai": 20.0,
    "tta5_vs_fastai_tta": 10.0,
    "validation_vs_bare_forward": 0.9,
    "cache_12mp_vs_pil": 3.0,
    "fold_2000_vs_16000_rows": 0.9,
    "memory_255000_rows_within_300_mb": 1.0,
    "log_loss_equal_epochs_vs_fastai": 1.0,  # quality.py
    "log_loss_equal_time_vs_fastai": 1 / 0.55,  # budget.py
    **{
        f"gpu_{model}_{what}": bar
        for model in ("resnet50", "resnext50_32x4d")
        for what, bar in (("vs_bare_step", 0.92), ("busy", 0.9), ("memory", 1.0))
    },
}


def main() -> None:
    """Measure, print and record."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, help="a folder of your own photos")
    words.add_argument("--only", nargs="+", choices=list(BARS), default=list(BARS))
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = words.parse_args()
    if options.peak:
        print(peak_of(options.peak))
        return
    with tempfile.TemporaryDirectory(prefix="foldwise-bench-") as folder:
        photos = options.images.resolve() if options.images else generated(Path(folder))
        rows = [
            row
            for name, pairs in figures(Path(folder), photos, options.rounds)
            if name in options.only and (row := record(name, pairs()))
        ]
    if any(row["verdict"] == "short" for row in rows):
        sys.exit(1)


def record(name: str, pairs: Pairs) -> dict[str, object]:
    """Print a figure and add it to the results. pairs: (ours, theirs), the ratio is ours/theirs."""
    ratios = [ours / theirs for ours, theirs in pairs]
    verdict = "short" if max(ratios) < BARS[name] else "ok"
    median = statistics.median(ratios)
    print(
        f"{name} {median:.3g} {BARS[name]:g} {verdict}  ({min(ratios):.3g} to {max(ratios):.3g}; "
        f"ours {statistics.median(p[0] for p in pairs):.4g}, theirs "
        f"{statistics.median(p[1] for p in pairs):.4g})",
        flush=True,
    )
    row = {
        "time": now(),
        "name": name,
        "ratio": round(median, 4),
        "low": round(min(ratios), 4),
        "high": round(max(ratios), 4),
        "bar": BARS[name],
        "verdict": verdict,
        "pairs": len(pairs),
        "ours": round(statistics.median(p[0] for p in pairs), 3),
        "theirs": round(statistics.median(p[1] for p in pairs), 3),
        **provenance(),
    }
    append(RESULTS, row)
    return row


def alternate(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Pairs:
    """Both sides in turn, after one round that warms up."""
    pairs = [(ours(), theirs()) for _ in range(rounds + 1)]
    return pairs[1:]


def figures(folder: Path, photos: Path, rounds: int) -> list[tuple[str, Callable[[], Pairs]]]:
    """Each figure's name and a function that measures its pairs."""
    import sides

    files = [photos / inner for inner in images_below(photos, ".")[0]][:PHOTOS]
    labels = [str(number % 8) for number in range(len(files))]
    recipe = SizedRecipe.model_validate(RECIPE)
    table = table_of(files, labels)

    def own(batches: int = 9) -> sides.Own:
        return sides.Own(cache_of(folder, table, photos), table.frame, recipe, batches)

    def peer(side: sides.Side, make: Callable[..., sides.Side], *arguments: object) -> Pairs:
        apart = Apart(make, *arguments)
        pairs = alternate(side, apart, rounds)
        apart.close()
        return pairs

    def bare(make: Callable) -> Pairs:
        mine = own()
        # as many images as a validation part often has
        side = mine.train if make is sides.bare_train else partial(mine.predicted, ("none",), 5)
        return alternate(side, make(mine, 9), rounds)

    fastai = partial(sides.fastai_side, files=files, batch_size=BATCH)
    return [
        ("train_vs_fastai", lambda: peer(own().train, partial(fastai, "train", batches=3))),
        (
            "train_vs_timm",
            lambda: peer(own(len(files) // BATCH).train, sides.timm_train, photos, BATCH),
        ),
        ("train_vs_bare_step", lambda: bare(sides.bare_train)),
        ("data_vs_fastai", lambda: peer(own().data, partial(fastai, "data", batches=4))),
        (
            "tta5_vs_fastai_tta",
            lambda: peer(partial(own().predicted, sides.VIEWS), partial(fastai, "tta", batches=0)),
        ),
        ("validation_vs_bare_forward", lambda: bare(sides.bare_forward)),
        ("cache_12mp_vs_pil", lambda: large_photos(folder, rounds)),
        (
            "fold_2000_vs_16000_rows",
            lambda: alternate(small(folder, 16000).train, small(folder, 2000).train, 1),
        ),
        (
            "memory_255000_rows_within_300_mb",
            lambda: [(300.0, max(peak(255000) - peak(16488), 1.0))],
        ),
        *gpu_figures(folder, rounds),
    ]


def gpu_figures(folder: Path, rounds: int) -> list[tuple[str, Callable[[], Pairs]]]:
    """What a GPU adds: images/s beside the bare step, the GPU's busy share, memory that is free."""
    import torch

    import sides

    if not torch.cuda.is_available():
        return []

    def own(model: str) -> sides.Own:
        return invented(folder, 64 + 40 * 128, {"model": model, "batch_size": 128})

    def step(model: str) -> Pairs:
        mine = own(model)
        return alternate(mine.train, sides.bare_train(mine, 39), rounds)

    return [
        figure
        for model in ("resnet50", "resnext50_32x4d")
        for figure in (
            (f"gpu_{model}_vs_bare_step", partial(step, model)),
            (f"gpu_{model}_busy", lambda model=model: [sides.busy(own(model))]),
            (f"gpu_{model}_memory", lambda model=model: [sides.memory(own(model))]),
        )
    ]


def large_photos(folder: Path, rounds: int) -> Pairs:
    """Images per second from 12-megapixel JPEGs to 256 px: the cache, and Pillow in one process."""
    photos = folder / "large"
    photos.mkdir()
    for number in range(12):
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 255, (94, 125, 3), np.uint8)).resize((4000, 3000))
        noisy = np.asarray(coarse) + rng.integers(-12, 12, (3000, 4000, 1))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
            photos / f"{number}.jpg", quality=90
        )
    files = sorted(photos.glob("*.jpg"))
    table = table_of(files, ["a", "b"] * 6)
    sizes = iter(range(256, 256 + 2 * rounds + 4))  # another size each time: nothing is there yet

    def ours() -> float:
        side = next(sizes)
        begun = time.perf_counter()
        cache_of(folder, table, photos, (side, side))
        return len(files) / (time.perf_counter() - begun)

    def theirs() -> float:
        begun = time.perf_counter()
        for file in files:
            np.asarray(Image.open(file).convert("RGB").resize((256, 256)))
        return len(files) / (time.perf_counter() - begun)

    return alternate(ours, theirs, rounds)


def small(folder: Path, rows: int):
    """ResNet-18 at 64 px over an invented cache of so many rows."""
    return invented(
        folder, rows, {"model": "resnet18", "image_size": 64, "presize": 72, "batch_size": 64}
    )


def peak(rows: int) -> float:
    """The peak memory in MB of another process that trains on 50 batches of so many rows."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", str(rows)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def peak_of(rows: int) -> float:
    """This process's peak memory in MB after 50 batches of so many rows."""
    from foldwise.kinds.events import BatchDone, Event
    from foldwise.training.fitting.stages import Place, train_stages

    class Enough(Exception):
        pass

    def observe(event: Event) -> None:
        if isinstance(event, BatchDone) and event.done == 50:
            raise Enough("50 batches are through")

    with tempfile.TemporaryDirectory(prefix="foldwise-bench-") as folder:
        own = small(Path(folder), rows)
        try:
            train_stages(own.trainable, Place("b", 0, 0, 2), observe)
        except Enough:
            # not getrusage: a child's peak there begins with its parent's
            status = Path("/proc/self/status").read_text()
            return float(status.split("VmHWM:")[1].split()[0]) / 1e3
    raise SystemExit("fewer than 50 batches")


if __name__ == "__main__":
    main()
