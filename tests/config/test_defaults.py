"""The defaults of all settings are frozen: a change of one is seen here, and by runs of before.

Settings that differ from their defaults alone tell runs apart. Where a default has to change,
`python tests/config/test_defaults.py` writes the file anew, and CHANGELOG.md says so.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from foldwise.config.augment import AUGMENTATIONS, Augment
from foldwise.config.competition import Files, Holdout, Images, Submit
from foldwise.config.labels import LABELS
from foldwise.config.pseudo import Pseudo
from foldwise.config.recipe import Recipe, SettledRecipe, SizedRecipe
from foldwise.config.stage import Stage
from foldwise.kinds.blending import BLENDINGS
from foldwise.kinds.folds import FOLDS
from foldwise.kinds.loss import LOSSES
from foldwise.kinds.method import METHODS
from foldwise.kinds.metric import METRICS
from foldwise.kinds.platform import PLATFORMS
from foldwise.kinds.reader import READERS
from foldwise.kinds.schedule import SCHEDULES
from foldwise.kinds.shape import SHAPES

FILE = Path(__file__).with_name("defaults.json")
MODELS = (
    *(Files, Holdout, Images, Submit, Augment, Pseudo, Stage),
    *(Recipe, SizedRecipe, SettledRecipe),
)
FAMILIES = (
    *(
        AUGMENTATIONS,
        BLENDINGS,
        FOLDS,
        LABELS,
        LOSSES,
        METHODS,
        METRICS,
        PLATFORMS,
        READERS,
        SCHEDULES,
        SHAPES,
    ),
)


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    """The default of each of a model's settings as JSON; `required` where there is none."""
    found = {}
    for name, field in model.model_fields.items():
        value = "required" if field.is_required() else field.get_default(call_default_factory=True)
        found[name] = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.loads(json.dumps(found, default=repr))


def all_defaults() -> dict[str, Any]:
    """The defaults of every settings model, by its name; of kinds by family and name."""
    kinds = {
        f"{family.called}: {name}": kind
        for family in FAMILIES
        for name, kind in family.every().items()
    }
    return {
        name: defaults(model)
        for name, model in {**{each.__name__: each for each in MODELS}, **kinds}.items()
    }


def test_no_default_changes_unnoticed() -> None:
    assert all_defaults() == json.loads(FILE.read_text())


if __name__ == "__main__":
    FILE.write_text(json.dumps(all_defaults(), indent=1, sort_keys=True) + "\n")
