"""Models of foldwise's own, to compare others with: what their recipes say where they are silent.

`linear` is one linear layer on the pixels, by plain gradient descent at a constant rate. `prior`
predicts the shares of the classes in the training part; it sees no image and is not trained.
"""

from collections.abc import Mapping, Sequence

LINEAR, PRIOR = "linear", "prior"
DEFAULTS: dict[str, dict[str, object]] = {
    LINEAR: {"weights": "none", "optimizer": "sgd", "weight_decay": 0.0},
    PRIOR: {"weights": "none", "image_size": 8},
}
# what timm's models can have and these cannot
FIXED: dict[str, object] = {"weights": "none", "head": "linear", "drop_rate": 0, "drop_path": 0}
STAGE_DEFAULTS: dict[str, dict[str, object]] = {LINEAR: {"schedule": "constant"}}


def with_defaults(table: object) -> object:
    """A recipe's table with a baseline's own defaults put in; any other table as it is."""
    if not isinstance(table, Mapping):
        return table
    model = table.get("model")
    if not isinstance(model, str) or model not in DEFAULTS:
        return table
    made = {**DEFAULTS[model], **table}
    own, stages = STAGE_DEFAULTS.get(model), made.get("stage")
    if own and isinstance(stages, list | tuple):
        made["stage"] = [{**own, **s} if isinstance(s, Mapping) else s for s in stages]
    return made


def check_baseline(model: str, settings: Mapping[str, object], stages: int) -> None:
    """Refuse what would do nothing. settings: those of FIXED's keys; stages: how many.

    Raises: ValueError: a recipe says what its baseline cannot follow, or has no stage.
    """
    if model == PRIOR and stages:
        raise ValueError(f'model = "prior" is not trained, got {stages} stages; remove them')
    if model != PRIOR and not stages:
        raise ValueError("stage must be a list of at least one stage, got none; write [[stage]]")
    if model not in DEFAULTS:
        return
    for key, value in FIXED.items():
        if settings[key] != value:
            raise ValueError(
                f'model = "{model}" needs {key} = {value!r}, got {settings[key]!r}; remove it, or '
                "name a model of timm's"
            )


def check_one_size(model: str, sizes: Sequence[tuple[int, int]]) -> None:
    """Raises: ValueError: the stages' sizes are several, and the model has a weight per pixel."""
    if model == LINEAR and len(set(sizes)) > 1:
        raise ValueError(
            'model = "linear" needs one image_size in all stages, got '
            f"{[list(size) for size in dict.fromkeys(sizes)]}; it has one weight per pixel"
        )
