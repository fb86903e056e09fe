"""Every backbone trains whole: timm's models one after the other, through foldwise's own functions.

For each module of timm its smallest model, and every model under 30 million parameters: built at a
small size that it takes, with either head, its parameters in groups, a step with the head alone and
one with all of it (after which each parameter has had a gradient that is not zero), averaged
weights, predictions, and weights saved and loaded again.

results/backbones.csv has a row for each: it ran, was refused in one line, or failed. What has a row
of the same versions that did not fail is left out; so a run that was stopped goes on.

    python benchmarks/backbones.py [--again] [MODEL ...]
"""

import argparse
import csv
import gc
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from torch import nn

from foldwise.config.recipe import SizedRecipe
from foldwise.config.stage import Stage
from foldwise.data.folds import Folds
from foldwise.data.images.cache import ImageCache
from foldwise.errors import FoldwiseError, SpecError
from foldwise.store.files import replace_file
from foldwise.tasks import MultiClass
from foldwise.training.fitting.stages import Place, Trainable, train_stages
from foldwise.training.fitting.streams import seed_block
from foldwise.training.loading.batches import FoldSplitter, datablock, dataloaders
from foldwise.training.models.building import (
    Preprocessing,
    build_model,
    load_trained,
    preprocessing_of,
    save_weights,
)
from foldwise.training.models.groups import check_groups, layer_groups
from foldwise.training.models.heads import classifier_parameters
from foldwise.training.models.sizes import made_for, native_size
from foldwise.training.predict import predict
from foldwise.training.speed.precision import device
from provenance import ROOT, provenance

RESULTS = ROOT / "benchmarks" / "results" / "backbones.csv"
FEW = 30_000_000  # parameters
SIZES = (64, 96, 128, 224)  # pixels: tried in turn, then the model's own
CLASSES = ("a", "b", "c")
GROUPS = ("fastai", "stage", "block")
BATCH = 4  # images; one step an epoch
PER_PROCESS = 25  # models, after which memory is given back
VERSIONS = ("torch", "fastai", "timm")

# parameters that get no gradient, whoever trains: by model, the parameter's name, and why
EXCEPTIONS: tuple[tuple[str, str, str], ...] = (
    (r"gc", r"\.conv_attn\.bias$", "added to all inputs of a softmax, which changes nothing"),
)


def main() -> int:
    """Try the models that have no row yet; exit 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="timm's names; all by default")
    parser.add_argument("--again", action="store_true", help="those with a row too")
    arguments = parser.parse_args()
    rows, known = read(RESULTS), provenance()
    done = {name for name, row in rows.items() if row["verdict"] != "failed"}
    done -= {name for name in done if any(rows[name][key] != known[key] for key in VERSIONS)}
    names = arguments.models or chosen()
    todo = [name for name in names if arguments.again or name not in done]
    print(f"{len(names)} models, {len(names) - len(todo)} of them have a row", flush=True)
    for row in results(todo):
        rows[row["model"]] = {**row, **known}
        write(RESULTS, rows)
        verdict, seconds, said = row["verdict"], row["seconds"], row["said"]
        print(f"{verdict:8}{row['model']:45}{seconds:>7} s  {said}", flush=True)
    here = [rows[name] for name in names if name in rows]
    count = {v: sum(r["verdict"] == v for r in here) for v in ("ran", "refused", "failed")}
    bare = sum(row["verdict"] == "ran" and row["fastai_head"] != "ran" for row in here)
    print(", ".join(f"{number} {verdict}" for verdict, number in count.items()), end="; ")
    print(f"{bare} of those that ran take no fastai head; see {RESULTS.relative_to(ROOT)}")
    return 1 if count["failed"] else 0


def chosen() -> list[str]:
    """The smallest model of each module, then every one with FEW parameters, the smallest first."""
    sizes = {}
    for name in timm.list_models():
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sizes[name] = sum(p.numel() for p in timm.create_model(name).parameters())
    order = sorted(sizes, key=lambda name: (sizes[name], name))
    first = {module_of(name): name for name in reversed(order)}
    smallest = sorted(first.values(), key=order.index)
    return list(dict.fromkeys([*smallest, *(name for name in order if sizes[name] < FEW)]))


def module_of(name: str) -> str:
    """timm's module that defines a model."""
    return str(timm.model_entrypoint(name).__module__.rpartition(".")[2])


def results(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of models, tried in processes of their own, which die when they like to."""
    left = list(names)
    while left:
        part, left = left[:PER_PROCESS], left[PER_PROCESS:]
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            futures = [(name, pool.submit(tried, name)) for name in part]
            for number, (name, future) in enumerate(futures):
                try:
                    yield future.result()
                except BrokenProcessPool:  # killed, for its memory most likely
                    yield blank(name) | {"verdict": "failed", "said": "its process was killed"}
                    left = part[number + 1 :] + left
                    break


def blank(name: str) -> dict[str, Any]:
    """A row of which nothing is known yet."""
    return {
        "model": name,
        "module": module_of(name),
        "verdict": "",
        "parameters": "",
        "size": "",
        "own_size": "",
        "groups": "",
        "fastai_head": "",
        "no_gradient": "",
        "said": "",
        "seconds": "",
    }


def tried(name: str) -> dict[str, Any]:
    """A model's row."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    row, begun = blank(name), time.perf_counter()
    try:
        row |= with_head(name, "linear")
        try:
            fastai = with_head(name, "fastai")
            row["fastai_head"] = "ran"
            row["no_gradient"] = " ".join(filter(None, {row["no_gradient"], fastai["no_gradient"]}))
        except SpecError as error:  # of another kind it would be a failure: the model was built
            row["fastai_head"] = one_line(error)
        row["verdict"] = "ran"
    except SpecError as error:
        row |= {"verdict": "refused", "said": one_line(error)}
    except Exception as error:  # whatever it is, it is what is looked for
        traceback.print_tb(error.__traceback__)
        row |= {"verdict": "failed", "said": f"{type(error).__name__}: {brief(error)}"}
    gc.collect()
    return {**row, "seconds": round(time.perf_counter() - begun, 1)}


def brief(error: Exception) -> str:
    """The beginning of an error's text, in one line."""
    return " ".join(str(error).split())[:200]


def one_line(error: FoldwiseError) -> str:
    """The error's line. Raises: AssertionError: it has more than one."""
    assert "\n" not in str(error), f"more than one line: {error}"
    return str(error)


def with_head(name: str, head: str) -> dict[str, Any]:
    """What a row says of a model with a head. Raises: AssertionError: something of it is wrong.

    On few pixels some layers see one place alone, and have nothing to tell apart: what had no
    gradient is tried again at the model's own size.
    """
    sizes = dict.fromkeys(
        size for size in (*((s, s) for s in SIZES), native_size(name)) if made_for(name, size)
    )
    own = native_size(name)
    size = next(iter(sizes), own)
    row = trained(name, head, size)
    lacking = row.pop("untrained")
    if set(lacking) - set(excepted(name, lacking)) and size != own:
        size = own
        lacking = sorted({*trained(name, head, size).pop("untrained")} & {*lacking})
    excused = excepted(name, lacking)
    wrong = [param for param in lacking if param not in excused]
    assert not wrong, f"{head} head: {len(wrong)} parameters have no gradient, e.g. {wrong[:3]}"
    reasons = sorted(set(excused.values()))
    return {**row, "size": "x".join(map(str, size)), "no_gradient": "; ".join(reasons)}


def excepted(name: str, lacking: Sequence[str]) -> dict[str, str]:
    """Of parameters without a gradient those that may be, with the reason."""
    return {
        param: why
        for param in lacking
        for model, pattern, why in EXCEPTIONS
        if re.match(model, name) and re.search(pattern, param)
    }


def trained(name: str, head: str, size: tuple[int, int]) -> dict[str, Any]:
    """Build, group, train, predict, save and load a model; what its row says of that."""
    recipes = [recipe_of(name, head, size, train) for train in ("head", "all")]
    about = preprocessing_of(recipes[0], MultiClass(tuple(CLASSES)), "RGB")
    with seed_block(0, "backbones"):
        model = enlivened(build_model(recipes[0], about.n_outputs, 3))
    groups = {how: layer_groups(model, how) for how in GROUPS}
    for each in groups.values():
        check_groups(model, each)
    head_only, whole = (step(model, recipe, about) for recipe in recipes)
    names = {id(param): param_name for param_name, param in model.named_parameters()}
    lacking = {names[id(p)] for p in classifier_parameters(model)} - head_only
    assert lacking <= set(excepted(name, sorted(lacking))) or not lacking <= whole, (
        f'{head} head: train = "head" left out {sorted(lacking)[:3]}'
    )
    check_saved(model, recipes[-1], about)
    return {
        "parameters": sum(param.numel() for param in model.parameters()),
        "own_size": "x".join(map(str, native_size(name))),
        "groups": "/".join(str(len(each)) for each in groups.values()),
        "untrained": sorted(set(names.values()) - whole),
    }


def recipe_of(name: str, head: str, size: tuple[int, int], train: str) -> SizedRecipe:
    """A recipe of one epoch."""
    groups = "block" if head == "fastai" else "stage" if train == "all" else "fastai"
    stage = Stage.model_validate({"epochs": 1, "lr": 1e-4, "train": train, "groups": groups})
    recipe = SizedRecipe.model_validate(
        {
            "name": "backbones",
            "model": name,
            "weights": "none",
            "head": head,
            "image_size": size,
            "batch_size": BATCH,
            "ema": 0.9,
            "tta": ["none", "hflip"],
            "stage": [stage.model_dump()],
        }
    )
    return recipe.settle(
        {"precision": "fp32", "batch_size": BATCH, "compile": False, "loss": "cross_entropy"}
    )


def enlivened(model: nn.Module) -> nn.Module:
    """The model, in place; what begins at about nothing, and hides what is before it, does not."""
    with torch.no_grad():
        for param in model.parameters():
            if param.numel() and param.abs().max() < 1e-2:
                param.normal_(std=0.1)
    return model


def step(model: nn.Module, recipe: SizedRecipe, about: Preprocessing) -> set[str]:
    """The parameters that have a gradient in a training step."""
    seen: set[str] = set()
    with watched(model, seen), seed_block(0, "step"):
        model.to(device())
        train_stages(
            Trainable(model=model, block_of=lambda number: block(recipe, about), recipe=recipe),
            Place("backbones", 0, 0, 2),
            lambda event: None,
        )
    return seen


@contextmanager
def watched(model: nn.Module, seen: set[str]) -> Iterator[None]:
    """Within it the names of parameters with a gradient that is not zero come into `seen`."""

    def watch(name: str) -> Any:
        def hook(gradient: torch.Tensor) -> None:
            assert gradient.isfinite().all(), f"the gradient of {name} is not finite"
            if gradient.any():
                seen.add(name)

        return hook

    fixed = [param for param in model.parameters() if not param.requires_grad]
    for param in fixed:  # a hook needs it; a stage says by itself what is trained
        param.requires_grad_(True)
    handles = [param.register_hook(watch(name)) for name, param in model.named_parameters()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def block(recipe: SizedRecipe, about: Preprocessing) -> Any:
    """A DataBlock of a few images of noise."""
    n = 3 * BATCH // 2
    ids = [str(number) for number in range(n)]
    pixels = np.random.default_rng(0).integers(0, 256, (n, *about.image_size, 3), dtype=np.uint8)
    labels = pd.Categorical.from_codes([i % len(CLASSES) for i in range(n)], list(CLASSES))
    frame = pd.DataFrame({"id": ids, "path": ids, "group": None, "label": labels})
    folds = Folds("two", pd.DataFrame({"id": ids, "fold": [int(i < BATCH) for i in range(n)]}), "")
    cache = ImageCache(Path(), pd.Index(ids), pixels)
    return datablock(cache, frame, FoldSplitter(folds, 0), recipe, about)


def check_saved(model: nn.Module, recipe: SizedRecipe, about: Preprocessing) -> None:
    """Predict; save and load, and predict the same; begin another training with these weights."""
    with tempfile.TemporaryDirectory(prefix="backbones-") as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(path, model, about)
        again, _ = load_trained(path)
        first, second = (predictions(each, recipe, about) for each in (model, again.to(device())))
        assert np.isfinite(first).all(), "predictions are not finite"
        assert np.array_equal(first, second), "loaded again, it predicts something else"
        build_model(recipe.model_copy(update={"weights": str(path)}), len(CLASSES) + 2, 3)


def predictions(model: nn.Module, recipe: SizedRecipe, about: Preprocessing) -> np.ndarray:
    """Probabilities (n, C) of the validation part."""
    loader = dataloaders(block(recipe, about), BATCH, device()).valid
    views = predict(model, loader, recipe.tta, recipe.precision, about.meaning)
    return np.concatenate([mean for mean, _ in views])


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The rows there are, by model."""
    if not path.is_file():
        return {}
    with path.open(newline="") as handle:
        return {row["model"]: row for row in csv.DictReader(handle)}


def write(path: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Write all rows, by module, then by model."""
    order = sorted(rows.values(), key=lambda row: (row["module"], row["model"]))
    with replace_file(path) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(order[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(order)


if __name__ == "__main__":
    sys.exit(main())
