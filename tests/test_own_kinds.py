"""A competition's adapter.py defines kinds of its own, and its runs go all the way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.tiny import edit, ids, write_tiny

from foldwise import doctor
from foldwise.commands.planning import Selection
from foldwise.commands.predict import predict
from foldwise.commands.submit import submit
from foldwise.commands.train import train
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import DataError, ImageError, SpecError
from foldwise.reporting.html.changes import commands
from foldwise.reproducing.reproduce import reproduce
from foldwise.store.run_records import RunRecord
from foldwise.workspace import Workspace

LOSS = '''
from typing import Literal
from foldwise.kinds.loss import Loss

class Power(Loss):
    """The right class's distance from 1, to some power."""
    name: Literal["power"] = "power"
    to: float = 2.0

    def formula(self, outputs):
        def power(logits, targets, reduction):
            rows = ((logits.softmax(dim=1) - targets).abs() ** self.to).sum(dim=1)
            return rows.mean() if reduction == "mean" else rows
        return power
'''


SCHEDULE = '''
from typing import Literal
from foldwise.kinds.schedule import Schedule

class Fall(Schedule):
    """From the highest rate down to a share of it, in a line."""
    name: Literal["fall"] = "fall"
    to: float = 0.0

    def rates(self, epochs, highest):
        return lambda done: highest * (1 - done * (1 - self.to))
'''


def with_own(workspace: Workspace, adapter: str, *edits: tuple[str, str]) -> Path:
    """The tiny competition's recipe file, edited, with an adapter beside it."""
    folder = workspace.competition("tiny")
    (folder / "adapter.py").write_text(adapter)
    recipe = folder / "recipes" / "tiny.toml"
    for old, new in edits:
        edit(recipe, old, new)
    return recipe


def records(workspace: Workspace) -> list[dict[str, Any]]:
    """The records of all runs."""
    paths = sorted((workspace.runs / "tiny").glob("*/run.json"))
    return [json.loads(path.read_text()) for path in paths]


def test_a_loss_and_a_schedule_of_an_adapter_are_submitted_and_made_again(
    workspace: Workspace,
) -> None:
    loss = 'loss = {name = "power", to = 1.5}'
    schedule = 'schedule = {name = "fall", to = 0.1}'
    own = (("batch_size", f"{loss}\nbatch_size"), ("epochs = 1", f"epochs = 1\n{schedule}"))
    with_own(workspace, LOSS + SCHEDULE, *own)
    entry = submit(open_competition(workspace, "tiny"))
    (record,) = records(workspace)
    assert record["recipe"]["loss"] == {"name": "power", "to": 1.5}
    assert record["recipe"]["stage"][0]["schedule"] == {"name": "fall", "to": 0.1}
    assert (
        submit(open_competition(workspace, "tiny")).file == entry.file
    )  # nothing is trained again
    assert len(records(workspace)) == 1
    told = RunRecord.model_validate(record)
    (command,) = commands(workspace, load_data(workspace, "tiny"), told)
    assert command == "foldwise train tiny --recipe tiny"
    assert reproduce(workspace, entry.file.name).same


def test_a_name_that_neither_has_is_refused_with_the_nearest(workspace: Workspace) -> None:
    with_own(workspace, LOSS, ("batch_size", 'loss = "powr"\nbatch_size'))
    with pytest.raises(DataError, match="no loss is called 'powr'; did you mean 'power'"):
        submit(open_competition(workspace, "tiny"))


INVERT = '''
from typing import ClassVar, Literal
from foldwise.kinds.bounds import Share
from foldwise.training.loading.augmentations.base import Colouring, ColourMap

class Invert(Colouring):
    """Black for white, in some images."""
    main: ClassVar[str] = "p"
    name: Literal["invert"] = "invert"
    p: Share

    def colours(self, u):
        factor = 1.0 - 2.0 * (u[0] < self.p)
        return ColourMap(factor, (1 - factor) / 2)
'''


def test_an_augmentation_of_an_adapter_is_submitted_and_made_again(workspace: Workspace) -> None:
    with_own(workspace, INVERT, ("rotate = 5", "rotate = 5\ninvert = 0.25"))
    entry = submit(open_competition(workspace, "tiny"))
    (record,) = records(workspace)
    assert record["recipe"]["augment"]["invert"] == 0.25
    assert submit(open_competition(workspace, "tiny")).file == entry.file
    assert len(records(workspace)) == 1
    assert reproduce(workspace, entry.file.name).same
    train(
        open_competition(workspace, "tiny"),
        Selection(overrides=("augment.invert=false",), folds=(0,)),
    )
    augments = [each["recipe"]["augment"] for each in records(workspace)]
    assert {"padding": "reflection", "hflip": True, "rotate": 5.0} in augments
    one, other = (workspace.runs / "tiny").glob("*/fold0/oof.parquet")
    assert one.read_bytes() != other.read_bytes()


METHOD = '''
from typing import ClassVar, Literal
import numpy as np
from foldwise.kinds.bounds import Amount
from foldwise.kinds.events import FoldStarted
from foldwise.training.methods.base import Fitted, TrainingMethod

def _module(means):
    from torch import nn, tensor
    module = nn.Module()
    module.register_buffer("means", tensor(means, dtype=nn.Linear(1, 1).weight.dtype))
    return module

class _Predictor:
    def __init__(self, module, scale):
        self.means, self.scale = module.means.numpy(), scale

    def batches(self, pixels):
        flat = np.asarray(pixels).reshape(len(pixels), -1) / 255
        far = ((flat[:, None] - self.means) ** 2).mean(axis=2)
        near = np.exp(-self.scale * far)
        yield (near / near.sum(axis=1, keepdims=True),) * 2

    def parts(self, inputs):
        (cache,), ids = inputs.caches, inputs.train.frame["id"]
        held = ids[inputs.folds.of(ids) == inputs.fold]
        for part, own in (("oof", held), ("test", inputs.test.frame["id"])):
            yield part, own, self.batches(cache.pixels[cache.rows(own)])

    def photos(self, recipe, pixels):
        return self.batches(np.load(pixels))

class Nearest(TrainingMethod):
    """The nearer the mean image of a class, the likelier it is: no stage, no gradient."""
    keys: ClassVar[frozenset[str]] = frozenset({"resize"})
    name: Literal["nearest"] = "nearest"
    scale: Amount = 10.0

    def blank(self, about):
        height, width = about.image_size
        return _module(np.zeros((len(about.classes), height * width * len(about.mode))))

    def fit(self, inputs, about, observe):
        observe(FoldStarted(inputs.run, inputs.fold, inputs.folds.n, 0, 0))
        (cache,), frame = inputs.caches, inputs.train.frame
        of = inputs.folds.of(frame["id"])
        part = frame[(of >= 0) & (of != inputs.fold)]
        flat = cache.pixels[cache.rows(part["id"])].reshape(len(part), -1) / 255
        labels = part["label"].to_numpy()
        module = _module([flat[labels == name].mean(axis=0) for name in about.classes])
        return Fitted(module, self.predictor(module, about), told={"images_per_second": 1.0})

    def predictor(self, model, about):
        return _Predictor(model, self.scale)
'''
NEAREST = """
model = {name = "nearest", scale = 20.0}
image_size = 16
"""


def test_a_method_of_an_adapter_is_submitted_made_again_and_predicts_photos(
    workspace: Workspace,
) -> None:
    with_own(workspace, METHOD).write_text(NEAREST)
    entry = submit(open_competition(workspace, "tiny"))
    (record,) = records(workspace)
    assert record["recipe"]["model"] == {"name": "nearest", "scale": 20.0}
    assert [name.partition("-")[0] for name in record["caches"]] == ["16x16"]
    assert entry.score.value < 1.0  # of three classes: log(3) = 1.1
    assert submit(open_competition(workspace, "tiny")).file == entry.file
    (run,) = (workspace.runs / "tiny").glob("tiny-s0-*")
    said = predict(workspace, run.name, [workspace.raw("tiny") / "images"])
    by_name = said.set_index(said["image"].map(lambda path: Path(path).stem))
    folds = [pd.read_parquet(run / f"fold{k}" / "test.parquet").set_index("id") for k in range(3)]
    mean = sum(folds) / 3
    expected = mean.idxmax(axis=1).loc[ids("test", 12)]
    assert by_name["answer"].loc[ids("test", 12)].tolist() == expected.tolist()
    assert reproduce(workspace, entry.file.name).same


def test_a_method_refuses_the_keys_that_it_does_not_take(workspace: Workspace) -> None:
    recipe = with_own(workspace, METHOD)
    recipe.write_text(NEAREST + "mixup = 0.2\n")
    with pytest.raises(
        DataError, match=r'model = "nearest" takes no mixup, but .*, resize, seeds;'
    ):
        submit(open_competition(workspace, "tiny"))
    recipe.write_text(NEAREST.replace("scale", "sclae"))
    with pytest.raises(DataError, match=r"unknown key 'model.sclae'; did you mean 'scale'"):
        submit(open_competition(workspace, "tiny"))


def test_a_method_that_cannot_train_is_told_its_base(workspace: Workspace) -> None:
    own = "from foldwise.kinds.method import Method\nclass Idle(Method):\n    name: str = 'idle'\n"
    with_own(workspace, own).write_text('model = {name = "idle"}\nimage_size = 16\n')
    with pytest.raises(SpecError, match=r'"idle" should be a class of .*methods.base.TrainingMeth'):
        submit(open_competition(workspace, "tiny"))


READER = '''
from typing import ClassVar, Literal
import numpy as np
from PIL import Image
from foldwise.errors import ImageError
from foldwise.kinds.reader import ImageReader

class Toy(ImageReader):
    """Four bytes, a width, a height, and grey pixels."""
    suffixes: ClassVar[tuple[str, ...]] = (".toy",)
    name: Literal["toy"] = "toy"
    inverted: bool = False

    def open(self, path):
        content = path.read_bytes()
        if content[:4] != b"TOY1":
            return None
        width, height = content[4:6]
        if len(content) != 6 + width * height:
            raise ImageError(f"is a toy of {len(content)} bytes, which should be more or fewer")
        pixels = np.frombuffer(content, np.uint8, offset=6).reshape(height, width)
        return Image.fromarray(255 - pixels if self.inverted else pixels)
'''
LINEAR = """
model = "linear"
image_size = 16
[[stage]]
epochs = 1
lr = 1
"""


def with_toys(workspace: Workspace, readers: str) -> None:
    """The tiny competition with its images as toys, which its adapter reads."""
    with_own(workspace, READER).write_text(LINEAR)
    spec, raw = workspace.competition("tiny") / "competition.toml", workspace.raw("tiny")
    edit(spec, 'mode = "L"', f'mode = "L"\nreaders = {readers}')
    for path in sorted((raw / "images").glob("*.png")):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"))
        height, width = pixels.shape
        content = b"TOY1" + bytes([width, height]) + pixels.tobytes()
        path.with_suffix(".toy").write_bytes(content)
        path.unlink()
    for part in ("train", "test"):
        table = raw / f"{part}_features.csv"
        table.write_text(table.read_text().replace(".png", ".toy"))


def oof_of(workspace: Workspace) -> pd.DataFrame:
    """The predictions of the only run's first fold, which is trained."""
    (run,) = train(open_competition(workspace, "tiny"), Selection(folds=(0,)))
    return pd.read_parquet(run.fold(0).path / "oof.parquet")


def test_a_reader_of_an_adapter_gives_what_pillow_gives(
    workspace: Workspace, tmp_path: Path
) -> None:
    plain = write_tiny(tmp_path / "plain")
    (plain.competition("tiny") / "recipes" / "tiny.toml").write_text(LINEAR)
    with_toys(workspace, '["toy"]')
    pd.testing.assert_frame_equal(oof_of(workspace), oof_of(plain), check_exact=True)
    report = doctor.check(workspace, "tiny")
    assert report.errors == []
    assert not [each for each in report.warnings if "no row" in each]
    assert report.facts["images"]["modes"] == {"L": report.facts["images"]["files"]}
    (run,) = (workspace.runs / "tiny").glob("tiny-s0-*")
    said = predict(workspace, run.name, [workspace.raw("tiny") / "images"])
    assert len(said) > 12
    assert said["error"].isna().all()
    assert {Path(name).suffix for name in said["image"]} == {".toy"}


def test_settings_of_a_reader_are_part_of_what_caches_and_runs_are(workspace: Workspace) -> None:
    with_toys(workspace, '["toy"]')
    first = oof_of(workspace)
    edit(
        workspace.competition("tiny") / "competition.toml",
        '["toy"]',
        '[{name = "toy", inverted = true}]',
    )
    assert not oof_of(workspace).equals(first)
    assert len([*(workspace.runs / "tiny").glob("tiny-s0-*")]) == 2
    caches = (workspace.data / "tiny" / "cache").glob("16x16-*/done.json")
    assert len([*caches]) == 2


def test_a_file_that_a_reader_refuses_is_one_line(workspace: Workspace) -> None:
    with_toys(workspace, '["toy"]')
    path = next((workspace.raw("tiny") / "images").glob("*.toy"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError, match=rf"{path.name} is a toy of \d+ bytes, which should be"):
        oof_of(workspace)


def test_a_reader_that_nobody_has_is_refused_with_the_nearest(workspace: Workspace) -> None:
    with_toys(workspace, '["tooy"]')
    with pytest.raises(SpecError, match="no image reader is called 'tooy'; did you mean 'toy'"):
        load_data(workspace, "tiny")
