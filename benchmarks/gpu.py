"""All that only a machine with a CUDA device can show, in about six minutes.

    python benchmarks/gpu.py [--seconds 360]

runs the tests marked `gpu`, trains in every precision, stops a training and goes on with it,
measures ResNet-50 and ConvNeXt-T at 224 pixels beside the bare step, their waiting and memory,
compiling, and predictions with views. It prints a line per figure and adds a row to
results/gpu.csv. A part that fails does not stop the others, and what there is no time for is left
out; it ends with exit code 1 where something failed, or fell short of its bar.

--dry walks through everything with tiny models, on a CPU too, and records nothing.
"""

import argparse
import math
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import FrameType

import torch

import sides
from foldwise.kinds.events import BatchDone, EpochDone, Event
from foldwise.store.files import sha256_file
from foldwise.store.ledger import now
from foldwise.training.fitting import checkpoint, tuning
from foldwise.training.fitting.stages import Place, train_stages
from foldwise.training.fitting.streams import seed_block
from foldwise.training.models.building import save_weights
from foldwise.training.speed import machine
from foldwise.training.speed.apart import apart
from foldwise.training.speed.precision import determinism, device
from inputs import invented
from provenance import append, provenance
from speed import alternate

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu.csv"
TESTS, COMPILER = 150.0, 90.0  # seconds that they may take at most
ROUNDS = 2


@dataclass(frozen=True)
class Figure:
    """One number; `bar` is the least that it should be, None where it is only told."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    detail: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `short`, or nothing."""
        return "" if self.bar is None else "ok" if self.value >= self.bar else "short"


@dataclass(frozen=True)
class Scale:
    """How large the parts are: models, pixels, images in a batch, batches."""

    tests: str
    small: str
    models: tuple[str, ...]
    size: int
    presize: int
    batch: int
    batches: int

    def own(self, folder: Path, model: str, batches: int, **settings: object) -> sides.Own:
        """foldwise's side of a model over so many batches of noise."""
        recipe = {
            "model": model,
            "image_size": self.size,
            "presize": self.presize,
            "batch_size": self.batch,
            **settings,
        }
        return invented(folder, 64 + batches * self.batch, recipe, noise=True)


FULL = Scale("tests", "resnet18", ("resnet50", "convnext_tiny"), 224, 256, 128, 40)
DRY = Scale(
    "tests/training/speed/test_precision.py",
    "test_resnet",
    ("test_resnet", "test_convnext"),
    32,
    40,
    8,
    4,
)
ROOMY = 24e9  # bytes of a GPU's memory, from which on the full batches fit
Part = Callable[[], Iterator[Figure]]


class OutOfTimeError(Exception):
    """A part has had its time."""


class Stop(Exception):
    """Ends a training from its observer."""


def main() -> None:
    """Measure, print and record."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--seconds", type=float, default=360.0)
    words.add_argument("--dry", action="store_true", help="tiny models, any device, no results")
    options = words.parse_args()
    if not options.dry and not torch.cuda.is_available():
        sys.exit(
            "gpu: expected a CUDA device, torch finds none; run it on a machine that has one, "
            "or with --dry, which only walks through it"
        )
    ends, verdicts = time.monotonic() + options.seconds, []
    with tempfile.TemporaryDirectory(prefix="foldwise-gpu-") as folder:
        for name, part in parts(DRY if options.dry else full(), Path(folder), ends):
            for row in measured(name, part, ends):
                print(
                    f"{row['name']} {row['value']} {row['unit']} {row['verdict']}  {row['detail']}",
                    flush=True,
                )
                verdicts.append(row["verdict"])
                if not options.dry:
                    append(RESULTS, row)
    counts = {kind: verdicts.count(kind) for kind in ("ok", "short", "failed", "left out")}
    print(
        f"gpu: {len(verdicts)} figures on {machine.gpu() or 'a CPU'}: "
        + ", ".join(f"{count} {kind}" for kind, count in counts.items())
    )
    if counts["failed"] or (counts["short"] and not options.dry):  # tiny models fall short
        sys.exit(1)


def full() -> Scale:
    """The real scale, with half the batch on a GPU of little memory."""
    roomy = torch.cuda.get_device_properties(0).total_memory > ROOMY
    return FULL if roomy else replace(FULL, batch=FULL.batch // 2)


def measured(name: str, part: Part, ends: float) -> Iterator[dict[str, object]]:
    """The rows of a part: its figures, and one more where it failed or had no time."""
    begun = time.monotonic()
    try:
        with bounded(ends - begun):
            for figure in part():
                yield row_of(figure, figure.verdict, time.monotonic() - begun)
                begun = time.monotonic()
    except OutOfTimeError:
        yield row_of(Figure(name, math.nan, "", detail="no time"), "left out", 0.0)
    except Exception as error:  # whatever it is: the other parts are measured all the same
        traceback.print_exc()
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        failed = Figure(name, math.nan, "", detail=f"{type(error).__name__}: {said}")
        yield row_of(failed, "failed", time.monotonic() - begun)
    torch.cuda.empty_cache()


def row_of(figure: Figure, verdict: str, seconds: float) -> dict[str, object]:
    """A figure as a row of results."""
    return {
        "time": now(),
        "name": figure.name,
        "value": round(figure.value, 4),
        "unit": figure.unit,
        "bar": figure.bar,
        "verdict": verdict,
        "seconds": round(seconds, 1),
        "detail": figure.detail,
        "gpu": machine.gpu(),
        "cuda": torch.version.cuda,
        **made_with(),
    }


made_with = cache(provenance)  # it asks git, for every row the same


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raises: OutOfTimeError: the block takes longer, or there is no time at all."""
    if seconds <= 0:
        raise OutOfTimeError("no time")

    def end(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError("its time is over")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def parts(scale: Scale, folder: Path, ends: float) -> list[tuple[str, Part]]:
    """Each part's name and the function that measures its figures, the most telling first."""
    model_parts = [
        (f"{model}_{what.__name__}", partial(what, scale, folder, model))
        for what in (beside_bare, waiting, memory)
        for model in scale.models
    ]
    return [
        ("tests", partial(tests, scale, ends)),
        ("precisions", partial(precisions, scale, folder)),
        ("resume", partial(resume, scale, folder)),
        *model_parts,
        ("views", partial(views, scale, folder)),
        ("batch", partial(batch, scale)),
        ("compile", partial(compiling, scale, ends)),
    ]


def tests(scale: Scale, ends: float) -> Iterator[Figure]:
    """The tests marked `gpu`, in a process of their own."""
    command = [sys.executable, "-m", "pytest", scale.tests, "-m", "gpu", "-q", "-rfE", "--tb=short"]
    try:
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=min(TESTS, ends - time.monotonic()),
        )
    except subprocess.TimeoutExpired as error:
        raise OutOfTimeError("the tests take too long") from error
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    passed = re.search(r"(\d+) passed", last)
    yield Figure("gpu_tests_pass", float(done.returncode == 0), "", 1.0, last.strip("= "))
    yield Figure("gpu_tests", float(passed[1]) if passed else 0.0, "tests")


def precisions(scale: Scale, folder: Path) -> Iterator[Figure]:
    """Images per second in each precision; the loss stays finite, and fp16 alone has a scale."""
    for precision in ("bf16", "fp16", "fp32"):
        own = scale.own(folder, scale.small, scale.batches // 2, precision=precision)
        speed = max(own.train(), own.train())
        place, events = folder / f"scaled-{precision}", list[Event]()
        run(own, place, events.append)
        loss = next(event.train_loss for event in events if isinstance(event, EpochDone))
        kept = checkpoint.read_checkpoint(place / "checkpoint.pt")["kept"]["Scaler"]
        finite = all(bool(p.isfinite().all()) for p in own.model.parameters())
        sound = finite and math.isfinite(loss) and bool(kept) is (precision == "fp16")
        yield Figure(f"{scale.small}_{precision}", speed, "images/s")
        yield Figure(
            f"{scale.small}_{precision}_is_finite",
            float(sound),
            "",
            1.0,
            f"loss {loss:.3f}, scale {kept.get('scale', 1):g}",
        )


def resume(scale: Scale, folder: Path) -> Iterator[Figure]:
    """Whether a deterministic training that is stopped ends in the same bytes."""
    settings = {
        "mixup": 0.4,
        "drop_rate": 0.3,
        "ema": 0.9,
        "deterministic": True,
        "stage": [{"epochs": 2, "lr": 1e-3}],
    }
    every, checkpoint.CHECKPOINT_SECONDS = checkpoint.CHECKPOINT_SECONDS, 0.0  # after each batch
    try:
        for precision in ("bf16", "fp16"):
            make = partial(scale.own, folder, scale.small, 4, precision=precision, **settings)
            hashes = {ending(make, folder / f"{precision}-{stop}", stop) for stop in (None, 2, 5)}
            yield Figure(f"resume_{precision}_same_bytes", float(len(hashes) == 1), "", 1.0)
    finally:
        checkpoint.CHECKPOINT_SECONDS = every


def ending(make: Callable[[], sides.Own], folder: Path, stop: int | None) -> str:
    """The hash of the weights that a training ends with, stopped once after so many batches."""

    def observe(event: Event) -> None:
        if isinstance(event, BatchDone) and event.done == stop:
            raise Stop("here")

    with determinism(True):
        if stop is not None:
            with suppress(Stop):
                run(make(), folder, observe)
        own = make()
        run(own, folder, lambda event: None)
    save_weights(folder / "weights.safetensors", own.model, own.preprocessing)
    return sha256_file(folder / "weights.safetensors")


def run(own: sides.Own, folder: Path, observe: Callable[[Event], None]) -> None:
    """Train with checkpoints in a folder, as a fold does."""
    folder.mkdir(exist_ok=True)
    with seed_block(0, 0, "init"):
        train_stages(own.trainable, Place("gpu", 0, 0, 2, folder), observe)


def beside_bare(scale: Scale, folder: Path, model: str) -> Iterator[Figure]:
    """Training's speed as a share of the bare step's."""
    own = scale.own(folder, model, scale.batches)
    pairs = alternate(own.train, sides.bare_train(own, scale.batches - 1), ROUNDS)
    ours, theirs = max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    yield Figure(
        f"{model}_vs_bare_step",
        ours / theirs,
        "",
        0.92,
        f"{own.recipe.precision}, {ours:.0f} and {theirs:.0f} images/s",
    )


def waiting(scale: Scale, folder: Path, model: str) -> Iterator[Figure]:
    """The share of an epoch in which the device computes; the rest it waits for data."""
    computes, seconds = sides.busy(scale.own(folder, model, scale.batches))
    yield Figure(
        f"{model}_busy",
        computes / seconds,
        "",
        0.9,
        f"waits {seconds - computes:.2f} of {seconds:.2f} s",
    )


def memory(scale: Scale, folder: Path, model: str) -> Iterator[Figure]:
    """The most memory that an epoch takes."""
    own = scale.own(folder, model, scale.batches)
    machine.forget_gpu_memory()
    own.train()
    taken = machine.gpu_memory() or machine.peak_memory()
    yield Figure(f"{model}_peak_memory", taken / 1e9, "GB", None, f"batch {own.recipe.batch_size}")


def views(scale: Scale, folder: Path) -> Iterator[Figure]:
    """Predictions beside the bare forward pass, and with five views."""
    own = scale.own(folder, scale.models[0], scale.batches)
    plain = partial(own.predicted, ("none",))
    pairs = alternate(plain, sides.bare_forward(own, scale.batches), ROUNDS)
    ours, theirs = max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    yield Figure(
        f"{scale.models[0]}_prediction_vs_bare_forward",
        ours / theirs,
        "",
        0.9,
        f"{ours:.0f} and {theirs:.0f} images/s",
    )
    seen = len(sides.VIEWS) * max(own.predicted(sides.VIEWS) for _ in range(ROUNDS))
    yield Figure(f"{scale.models[0]}_views_vs_plain", seen / ours, "", 0.9, f"{seen:.0f} views/s")


def batch(scale: Scale) -> Iterator[Figure]:
    """What `batch_size = "auto"` becomes."""
    recipe = recipe_of(scale, batch_size="auto")
    settled = tuning.settle(recipe, 100_000, 8, 3, 1)
    yield Figure(f"{recipe.model}_auto_batch", settled["batch_size"], "images")


def compiling(scale: Scale, ends: float) -> Iterator[Figure]:
    """What torch.compile costs and wins, measured as `compile = "auto"` measures it."""
    recipe = recipe_of(scale)
    recipe = recipe.settle({**tuning.settle(recipe, 1, 8, 3, 1), "loss": "cross_entropy"})
    eager, _ = tuning.step_seconds(
        tuning.step_of(recipe, recipe.precision, 8, 3, scale.batch, compiled=False)
    )
    torch.cuda.empty_cache()
    settings = recipe.model_dump(mode="json")
    arguments = ("", settings, 8, 3, scale.batch, machine.threads())  # no adapter's folder
    try:
        compiled, first = apart(
            tuning.compiled_seconds, arguments, min(COMPILER, ends - time.monotonic())
        )
    except TimeoutError as error:
        raise OutOfTimeError(str(error)) from error
    yield Figure(f"{recipe.model}_compile", first, "s")
    yield Figure(
        f"{recipe.model}_compiled_step",
        eager / compiled,
        "",
        None,
        f"{1e3 * eager:.1f} and {1e3 * compiled:.1f} ms on {device().type}",
    )


def recipe_of(scale: Scale, **settings: object):
    """The benchmarks' recipe of the first model, which leaves `compile` open."""
    from foldwise.config.recipe import SizedRecipe
    from inputs import RECIPE

    changes = {
        "model": scale.models[0],
        "image_size": scale.size,
        "presize": scale.presize,
        "batch_size": scale.batch,
        "compile": False,
        **settings,
    }
    return SizedRecipe.model_validate({**RECIPE, **changes})


if __name__ == "__main__":
    main()
