"""The ancestors' runs: every recipe does the steps of its write-up, and none is submit's default.

RUNS says by hand what the write-ups did, and where they are silent what the competition's README
says. Each recipe is trained at toy scale: a tiny model of its family with random weights, sizes and
batches divided; what the optimizer, the batches and the weights then did is compared.
"""

import math
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from torch.nn.modules.batchnorm import _BatchNorm

from catalogue import FIXTURES
from foldwise.commands.planning import Selection
from foldwise.commands.train import train
from foldwise.config.augment import Augment
from foldwise.config.competition import load_competition, recipe_names
from foldwise.config.recipe import SizedRecipe, load_recipe
from foldwise.data.opened import open_competition
from foldwise.store.files import read_json
from foldwise.training.fitting import stages
from foldwise.training.fitting.losses import MeanDistance
from foldwise.training.fitting.run import Run
from foldwise.training.loading.augment import Augmenter
from foldwise.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
SIZE, BATCH = 7, 8  # by what sizes in pixels and batches are divided: 224 -> 32, 64 -> 8
FOUND = ()  # the rate is what the finder suggests

Shape = Callable[[float, int], float]  # epochs done, epochs in all -> share of the highest rate
Rates = tuple[float, ...]  # the highest, from the first layer group to the head


def cosine(start: float, end: float, share: float) -> float:
    """Half a cosine from start to end."""
    return start + (end - start) * (1 - math.cos(math.pi * share)) / 2


def one_cycle(start: float = 0.25, div: float = 25) -> Shape:
    """fastai's fit_one_cycle: up from 1/div until `start`, then down to 1e-5."""

    def at(done: float, epochs: int) -> float:
        share = done / epochs
        if share < start:
            return cosine(1 / div, 1, share / start)
        return cosine(1, 1e-5, (share - start) / (1 - start))

    return at


ONE_CYCLE = one_cycle()


def constant(done: float, epochs: int) -> float:
    """The highest rate throughout."""
    return 1.0


def cycles(*lengths: int) -> Shape:
    """From 1 down to 0, again and again, each time in so many epochs."""

    def at(done: float, epochs: int) -> float:
        number = next(n for n in range(len(lengths)) if done < sum(lengths[: n + 1]))
        return cosine(1, 0, (done - sum(lengths[:number])) / lengths[number])

    return at


def even(low: float, high: float) -> Rates:
    """slice(low, high) for three groups."""
    return low, math.sqrt(low * high), high


@dataclass(frozen=True)
class Step:
    """A stage as the write-up lists it."""

    size: int
    batch: int
    epochs: int
    trained: str  # head: of the body only BatchNorm; all
    rates: Rates
    shape: Shape = ONE_CYCLE


def fine_tune(size: int, batch: int, frozen: int, epochs: int, base: float) -> tuple[Step, ...]:
    """fastai's fine_tune(epochs, base_lr=base, freeze_epochs=frozen)."""
    half = base / 2
    return (
        Step(size, batch, frozen, "head", (base / 10, base / 10, base), one_cycle(0.99)),
        Step(size, batch, epochs, "all", even(half / 100, half), one_cycle(0.3, 5)),
    )


@dataclass(frozen=True)
class Listed:
    """A run as the write-up lists it."""

    model: str
    steps: tuple[Step, ...]
    augment: dict[str, Any] = field(default_factory=dict)
    presize: int | None = None
    resize: str = "crop"
    precision: str = "fp32"
    optimizer: str = "Adam"
    head: str = "fastai"
    outputs: int = 8


FASTAI = {  # aug_transforms() but for its flip; max_lighting = 0.2 is 0.1 on values at mid-grey
    "rotate": {"degrees": 10, "p": 0.75},
    "zoom": {"factor": (1.0, 1.1), "p": 0.75},
    "warp": {"magnitude": 0.2, "p": 0.75},
    "brightness": {"amount": 0.1, "p": 0.75},
    "contrast": {"amount": 0.2, "p": 0.75},
}
PRESIZED = {**FASTAI, "hflip": True, "crop": {"share": (0.75, 1.0), "ratio": (1.0, 1.0)}}
SIDE_ON = {"hflip": True, "zoom": (1.0, 1.1)}

WILDLIFE = {"augment": PRESIZED, "presize": 460, "outputs": 8}
GUITARS = {"augment": FASTAI, "presize": 256, "outputs": 11}
SWIPR = {"augment": SIDE_ON, "presize": 340, "outputs": 2}
LOGOS = {"resize": "squash", "optimizer": "Sgd", "head": "linear", "outputs": 1}
R34, R50, X50 = "resnet34.tv_in1k", "resnet50.tv_in1k", "resnext50_32x4d.tv_in1k"
HEAD_34 = Step(224, 64, 5, "head", (1e-2, 1e-2, 1e-2))
SMALL_50 = (
    Step(224, 32, 5, "head", (1e-2, 1e-2, 1e-2)),
    Step(224, 32, 5, "all", even(1e-6, 2e-3)),
)
LARGE_50 = (
    Step(448, 16, 5, "head", (1e-3, 1e-3, 1e-3)),
    Step(448, 16, 5, "all", even(1e-6, 2e-4)),
)
RUNS = {
    ("wildlife", "writeup-1-resnet34"): Listed(R34, fine_tune(224, 64, 1, 2, 2e-3), **WILDLIFE),
    ("wildlife", "writeup-2-resnet34-found"): Listed(
        R34, fine_tune(224, 64, 1, 2, 3e-3), **WILDLIFE
    ),
    ("wildlife", "writeup-3-resnet34-unfrozen"): Listed(
        R34,
        (Step(224, 64, 3, "head", (3e-3, 3e-3, 3e-3)), Step(224, 64, 12, "all", even(1e-6, 1e-4))),
        **WILDLIFE,
    ),
    ("wildlife", "writeup-4-resnet50"): Listed(
        R50, fine_tune(224, 64, 3, 7, 2e-3), precision="fp16", **WILDLIFE
    ),
    ("guitars", "writeup-1-resnet34-head"): Listed(R34, (HEAD_34,), **GUITARS),
    ("guitars", "writeup-2-resnet34"): Listed(
        R34, (HEAD_34, Step(224, 64, 5, "all", even(1e-5, 5e-3))), **GUITARS
    ),
    ("guitars", "writeup-3-resnet50"): Listed(R50, SMALL_50, **GUITARS),
    ("guitars", "writeup-4-resnet50-448"): Listed(R50, SMALL_50 + LARGE_50, **GUITARS),
    ("masks", "writeup-1-resnet50"): Listed(
        R50,
        (*fine_tune(128, 64, 4, 3, 3e-3), Step(128, 64, 3, "all", FOUND)),
        {"crop": (0.35, 1.0)},
        presize=224,
        resize="squash",
        outputs=6,
    ),
    ("masks", "writeup-2-resnet50-460"): Listed(
        R50, fine_tune(460, 32, 4, 3, 3e-3), PRESIZED, presize=720, outputs=6
    ),
    ("swipr", "writeup-1-resnext50"): Listed(
        X50, (Step(224, 24, 7, "head", (1e-4, 1e-4, 1e-4), cycles(1, 2, 4)),), **SWIPR
    ),
    ("swipr", "writeup-2-resnext50-229"): Listed(
        X50, (Step(229, 24, 7, "head", (1e-3, 1e-3, 1e-3), cycles(1, 2, 4)),), **SWIPR
    ),
    ("logos", "writeup-1-linear"): Listed(
        "linear", (Step(140, 200, 20, "all", (1.0,), constant),), **LOGOS
    ),
    ("logos", "writeup-2-linear-learner"): Listed(
        "linear", (Step(140, 200, 20, "all", (0.1,), constant),), **LOGOS
    ),
}
NAMES = sorted({name for name, _ in RUNS})
NAMED = {
    "name",
    "model",
    "weights",
    "head",
    "image_size",
    "presize",
    "resize",
    "batch_size",
    "precision",
    "augment",
    "loss",
    "optimizer",
    "weight_decay",
    "stage",
}


@dataclass
class Fit:
    """What one stage did."""

    batches: int  # per epoch
    rows: int  # of the training part
    epochs: int
    optimizer: str
    precision: str
    augment: Augment
    free: list[bool]  # by group: whether its weights take gradients
    rates: list[list[float]] = field(default_factory=list)  # by batch and group
    shapes: set[tuple[int, ...]] = field(default_factory=set)  # of the batches
    norms: set[bool] = field(default_factory=set)  # whether all BatchNorms count the batch
    outputs: set[int] = field(default_factory=set)
    moved: list[tuple[bool, bool]] = field(default_factory=list)  # by group: weights; 1-d ones


class Watch(Callback):
    """Keeps a Fit for every stage; the finder's trials are none."""

    order, run_valid = 61, False  # after the schedule

    def __init__(self) -> None:
        self.fits: list[Fit] = []

    def before_fit(self) -> None:
        self.trial = hasattr(self.learn, "lr_finder")
        if self.trial:
            return
        self.before = [[p.detach().clone() for p in group] for group in self.opt.param_lists]
        transforms = self.dls.train.after_batch.fs
        self.fits.append(
            Fit(
                batches=len(self.dls.train),
                rows=len(self.dls.train_ds),
                epochs=self.n_epoch,
                optimizer=type(self.opt).__name__,
                precision=self.learn.autocast.precision,
                augment=next(f.augment for f in transforms if isinstance(f, Augmenter)),
                free=[
                    all(p.requires_grad for p in group if p.ndim > 1)
                    for group in self.opt.param_lists
                ],
            )
        )

    def before_batch(self) -> None:
        if not self.trial:
            fit = self.fits[-1]
            fit.rates.append([float(h["lr"]) for h in self.opt.hypers])
            fit.shapes.add(tuple(self.xb[0].shape))
            norms = [m for m in self.model.modules() if isinstance(m, _BatchNorm)]
            fit.norms.add(all(m.training for m in norms))

    def after_pred(self) -> None:
        if not self.trial:
            self.fits[-1].outputs.add(self.pred.shape[1])

    def after_fit(self) -> None:
        if self.trial:
            return
        for group, start in zip(self.opt.param_lists, self.before, strict=True):
            pairs = list(zip(group, start, strict=True))
            self.fits[-1].moved.append(
                (
                    any(not torch.equal(p, old) for p, old in pairs if p.ndim > 1),
                    any(not torch.equal(p, old) for p, old in pairs if p.ndim == 1),
                )
            )


def sized(folder: Path, name: str) -> SizedRecipe:
    """A recipe of a competition; none of them asks its weights for its size."""
    return load_recipe(folder, name).with_sizes((0, 0), "bilinear")


def at_toy_scale(recipe: SizedRecipe) -> list[str]:
    """Overrides that make a recipe tiny: another model of its family, smaller sizes and batches."""
    made = (
        ["weights=none"] if str(recipe.model) == "linear" else ["weights=none", "model=test_resnet"]
    )
    parts = {"": recipe, **{f"stage.{i}.": stage for i, stage in enumerate(recipe.stage)}}
    for prefix, part in parts.items():
        for key, by in (("image_size", SIZE), ("presize", SIZE), ("batch_size", BATCH)):
            if isinstance(value := getattr(part, key), int):
                made.append(f"{prefix}{key}={round(value / by)}")
    return made


def trained(name: str, recipe: str, folder: Path, watch: Watch) -> Run:
    """The run of a recipe at toy scale, one fold, on a tiny copy of its competition's download."""
    shutil.copytree(ROOT / "competitions" / name, folder / "competitions" / name)
    workspace = Workspace(folder, folder / "data", folder / "runs")
    workspace.raw(name).mkdir(parents=True)
    FIXTURES[name](workspace.raw(name))
    small = at_toy_scale(sized(workspace.competition(name), recipe))
    scheme = "random" if name == "wildlife" else None  # as the write-up split
    make = stages.learner_of
    with pytest.MonkeyPatch.context() as patch:

        def watched(*arguments: Any) -> Any:
            learner = make(*arguments)
            learner.add_cb(watch)
            return learner

        patch.setattr(stages, "learner_of", watched)
        return train(
            open_competition(workspace, name),
            Selection((recipe,), tuple(small), folds=(0,), scheme=scheme),
        )[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_run_of_a_write_up_is_a_recipe_in_its_table_and_no_default(name: str) -> None:
    folder = ROOT / "competitions" / name
    runs = [recipe for recipe in recipe_names(folder) if recipe.startswith("writeup-")]
    assert runs == [recipe for of, recipe in RUNS if of == name]
    assert [int(run.split("-")[1]) for run in runs] == list(range(1, len(runs) + 1))
    assert set(load_competition(folder).submit.recipes).isdisjoint(runs)
    readme = (folder / "README.md").read_text()
    assert re.findall(r"^\| `(writeup-.+?)` \|", readme, re.MULTILINE) == runs


def test_wildlife_has_the_write_ups_leaking_split_beside_the_honest_one() -> None:
    spec = load_competition(ROOT / "competitions" / "wildlife")
    assert spec.submit.folds == "default"
    assert spec.folds["default"].kind == "stratified_group"
    assert spec.folds["random"].kind == "stratified"
    header = "| write-up's figure, random split | ours, `random` (leaks sites) | ours, grouped by"
    assert header in (ROOT / "competitions" / "wildlife" / "README.md").read_text()


@pytest.mark.parametrize(("name", "recipe"), RUNS, ids=["/".join(key) for key in RUNS])
def test_a_recipe_names_the_model_and_images_of_its_write_up(name: str, recipe: str) -> None:
    listed, found = RUNS[name, recipe], sized(ROOT / "competitions" / name, recipe)
    assert (str(found.model), found.head, found.presize, found.resize, found.precision) == (
        listed.model,
        listed.head,
        listed.presize,
        listed.resize,
        listed.precision,
    )
    assert found.weights == ("none" if listed.model == "linear" else "auto")
    assert found.augment == Augment(**listed.augment)
    assert found.tta == ("none",)
    assert found.loss == (MeanDistance() if listed.model == "linear" else "auto")
    assert (
        load_recipe(ROOT / "competitions" / name, recipe).model_fields_set <= NAMED
    )  # no other ingredient
    assert [found.stage_size(s) for s in found.stage] == [(s.size, s.size) for s in listed.steps]
    assert [s.batch_size or found.batch_size for s in found.stage] == [
        s.batch for s in listed.steps
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "recipe"), RUNS, ids=["/".join(key) for key in RUNS])
def test_a_recipe_does_the_steps_of_its_write_up(name: str, recipe: str, tmp_path: Path) -> None:
    listed, watch = RUNS[name, recipe], Watch()
    run = trained(name, recipe, tmp_path, watch)
    assert len(watch.fits) == len(listed.steps)
    channels = 4 if name == "logos" else 3
    for number, (step, fit) in enumerate(zip(listed.steps, watch.fits, strict=True)):
        size, batch = round(step.size / SIZE), min(round(step.batch / BATCH), fit.rows)
        assert fit.epochs == step.epochs
        assert fit.shapes == {(batch, channels, size, size)}
        assert (fit.optimizer, fit.precision) == (listed.optimizer, listed.precision)
        assert fit.augment == Augment(**listed.augment)
        assert fit.outputs == {listed.outputs}
        rates = step.rates
        if rates is FOUND:
            rates = (
                read_json(run.fold(0).path / f"lr-{number}.json")["suggestions"]["valley"],
            ) * 3
        curve = [step.shape(i / fit.batches, step.epochs) for i in range(step.epochs * fit.batches)]
        wanted = np.outer(curve, rates)  # (steps, groups)
        np.testing.assert_allclose(fit.rates, wanted, rtol=1e-3, atol=1e-6 * max(rates))
        body = [step.trained == "all"] * (len(rates) - 1)
        assert fit.free == [*body, True]
        assert fit.moved == [(weights, True) for weights in (*body, True)]  # norms in any case
        assert fit.norms == {True}
