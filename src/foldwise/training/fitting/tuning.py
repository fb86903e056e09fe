"""What `auto` becomes on this machine: measured once for a run, before it trains."""

import gc
import inspect
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.nn import functional as F

from foldwise.config.adapter import kinds_of
from foldwise.config.recipe import SettledRecipe, SizedRecipe
from foldwise.errors import RunError
from foldwise.training.fitting.optim import Adam
from foldwise.training.fitting.streams import seed_block
from foldwise.training.methods.base import method_of
from foldwise.training.models.building import build_on_device
from foldwise.training.models.sizes import bring_to
from foldwise.training.speed.apart import apart
from foldwise.training.speed.machine import wait_for_gpu
from foldwise.training.speed.memory import keep_freed_memory
from foldwise.training.speed.precision import autocast, device, resolve

log = logging.getLogger(__name__)

USUAL = 64  # the batch size that `auto` is on a CPU
SMALLEST, LARGEST = 16, 1024  # batch sizes that are tried on a GPU
USABLE_MEMORY = 0.9  # share of a GPU's memory that a batch may take
TIMED_STEPS = 3  # timed after one that warms up
COMPILING_SHARE = {
    "cuda": 0.4,
    "cpu": 0.1,
}  # of a run's time that compiling may win where it wins much
QUICK = 60.0  # seconds that compiling takes at least, with the start of a process that measures it
FEW = 200  # steps; so few are not even timed


def settle(
    recipe: SizedRecipe, rows: int, n_classes: int, channels: int, folds: int
) -> dict[str, object]:
    """What `precision`, `batch_size` and `compile` become, the device, and what was measured.

    rows: in the training part of a fold. A value that is not `auto` stays as it is. Nothing of
    this machine's state changes but the measured seconds; the generators are put back.
    Raises: RunError: not even the smallest batch fits into the GPU's memory.
    """
    keep_freed_memory()
    on = device()
    precision = resolve(recipe.precision, on)
    values: dict[str, object] = {"precision": precision, "device": on.type}
    with seed_block(0, "settle"):
        values["batch_size"] = USUAL if recipe.batch_size == "auto" else recipe.batch_size
        small = not method_of(recipe).measured
        if recipe.batch_size == "auto" and on.type == "cuda" and not small:
            values["batch_size"] = _largest_batch(recipe, precision, n_classes, channels)
        # a budget is for steps, not for compiling, and Apple's GPUs gain nothing sure by it
        plain = small or recipe.budget or on.type == "mps"
        values["compile"] = recipe.compile is True if plain else recipe.compile
        if values["compile"] == "auto":
            loss = {"loss": "cross_entropy"}  # a measured step has no recipe's own
            settled = recipe.settle({**values, **loss, "compile": False})
            values["compile"], values["measured"] = _pays(settled, rows, n_classes, channels, folds)
    return values


def step_of(
    recipe: SizedRecipe, precision: str, n_classes: int, channels: int, batch: int, compiled: bool
) -> Callable[[], None]:
    """A function that takes one training step on a random batch at the largest image size.

    The model is the one that trains, with random weights: their values cost no time.
    """
    on = device()
    height, width = max((recipe.stage_size(s) for s in recipe.stage), key=lambda s: s[0] * s[1])
    model = build_on_device(recipe.model_copy(update={"weights": "none"}), n_classes, channels)
    bring_to(model, recipe.model.timm_name, (height, width))
    model.train()
    run = torch.compile(model, dynamic=False) if compiled else model
    optimizer = Adam(list(model.parameters()), lr=1e-6)
    images = torch.rand(batch, channels, height, width, device=on)
    images = images.to(memory_format=torch.channels_last)
    targets = torch.zeros(batch, dtype=torch.int64, device=on)

    def step() -> None:
        with autocast(precision, on):
            logits = run(images)
        F.cross_entropy(logits.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _largest_batch(recipe: SizedRecipe, precision: str, n_classes: int, channels: int) -> int:
    """The largest power of two whose training step leaves a tenth of the GPU's memory free."""
    total, found = torch.cuda.get_device_properties(0).total_memory, 0
    batch = SMALLEST
    while batch <= LARGEST:
        try:
            taken = _memory_of_batch(recipe, precision, n_classes, channels, batch)
        except torch.cuda.OutOfMemoryError:
            break
        if taken > USABLE_MEMORY * total:
            break
        found, batch = batch, 2 * batch
    gc.collect()
    torch.cuda.empty_cache()
    if not found:
        raise RunError(
            f'batch_size = "auto": a batch of {SMALLEST} images of {recipe.model} does not fit '
            f"into the GPU's {total / 1e9:.0f} GB; lower image_size, or set batch_size"
        )
    log.info("batch_size = %d: the largest that fits into the GPU's memory", found)
    return found


def _memory_of_batch(
    recipe: SizedRecipe, precision: str, n_classes: int, channels: int, batch: int
) -> int:
    """Bytes of the GPU's memory that training steps of so many images take; then they are free."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    step = step_of(recipe, precision, n_classes, channels, batch, compiled=False)
    step()
    step()
    return torch.cuda.max_memory_allocated()


def _pays(
    recipe: SettledRecipe, rows: int, n_classes: int, channels: int, folds: int
) -> tuple[bool, dict[str, float]]:
    """Whether compiling saves more time over a run than it takes; and the seconds measured.

    Every fold compiles anew for each stage (less each time, since torch keeps what it has compiled:
    the decision errs towards not compiling). Steps of smaller stages count by their pixels.
    Where all these times together could win no more than they take, nothing is compiled, and a
    compiler that takes longer than its share of what can be won is ended there.
    """
    steps = _steps(recipe, rows) * folds
    batch = min(recipe.batch_size, rows)
    if steps < FEW:
        return False, {}
    eager, _ = step_seconds(step_of(recipe, recipe.precision, n_classes, channels, batch, False))
    measured = {"eager_step_seconds": round(eager, 5)}
    times = len(recipe.stage) * folds
    most = COMPILING_SHARE[device().type] * steps * eager / (times + 1)  # and once to measure it
    if most < QUICK:
        return False, measured
    log.info(
        "measuring whether torch.compile is worth its while: %.0f s at most, once per run", most
    )
    gc.collect()
    torch.cuda.empty_cache()  # the other process needs the memory
    # a step has no use for the others, whose kinds may be an adapter's
    settings = recipe.model_dump(mode="json", exclude={"augment", "loss"})
    settings["stage"] = [
        {"epochs": 1, "lr": 1e-3, "image_size": recipe.stage_size(stage)} for stage in recipe.stage
    ]
    folder = Path(inspect.getfile(type(recipe.model))).parent  # of adapter.py, if it is its kind
    arguments = (str(folder), settings, n_classes, channels, batch, torch.get_num_threads())
    try:
        compiled, first = apart(compiled_seconds, arguments, most)
    except TimeoutError:
        log.info("not compiled: torch.compile takes more than the %.0f s that it could win", most)
        return False, measured | {"compile_seconds_over": round(most, 2)}
    except RuntimeError as error:
        log.warning("not compiled: torch.compile fails here (%s)", error)
        return False, measured
    saved, cost = steps * (eager - compiled), first * times
    measured |= {
        "compiled_step_seconds": round(compiled, 5),
        "compile_seconds": round(first, 2),
        "saved_seconds": round(saved - cost, 1),
    }
    log.info(
        "torch.compile: a step takes %.0f %% less, %.0f s are saved in all and %.0f s spent",
        100 * (1 - compiled / eager),
        saved,
        cost,
    )
    return saved > cost, measured


def compiled_seconds(
    folder: str,
    settings: Mapping[str, object],
    n_classes: int,
    channels: int,
    batch: int,
    threads: int,
) -> tuple[float, float]:
    """Seconds of a compiled step, and how much longer the first one took; see `apart`.

    folder: that of the adapter.py with the recipe's method; any other for one of foldwise's.
    settings: those of a recipe that is settled but for `compile`.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    recipe = SettledRecipe.model_validate(settings, context=kinds_of(Path(folder)))
    return step_seconds(step_of(recipe, recipe.precision, n_classes, channels, batch, True))


def _steps(recipe: SettledRecipe, rows: int) -> float:
    """The steps of one fold, in steps at the largest image size."""
    sizes = [recipe.stage_size(stage) for stage in recipe.stage]
    areas = [height * width for height, width in sizes]
    epochs = sum(s.length * area for s, area in zip(recipe.stage, areas, strict=True)) / max(areas)
    return epochs * max(rows // recipe.batch_size, 1)


def step_seconds(step: Callable[[], None]) -> tuple[float, float]:
    """Seconds of a step (the least of TIMED_STEPS), and how much longer the first one took."""
    times = []
    for _ in range(1 + TIMED_STEPS):
        begun = time.perf_counter()
        step()
        wait_for_gpu()
        times.append(time.perf_counter() - begun)
    return min(times[1:]), times[0] - min(times[1:])
