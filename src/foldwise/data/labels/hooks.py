"""Hooks from a competition's adapter.py: what TOML cannot say, found by their names."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import SpecError, nearest

HOOKS = ("prepare", "read_labels", "read_test", "read_image", "score")
MOVED = {  # what adapters used to import: where it is now
    "foldwise.spec": "foldwise.config",
    "foldwise.storage": "foldwise.store.files",
    "foldwise.data.coco": "foldwise.data.labels.coco",
    "foldwise.data.tables": "foldwise.tables.text",
    "foldwise.scoring": "foldwise.metrics",
}


def load_hooks(folder: Path) -> dict[str, Callable[..., Any]]:
    """The hooks that folder/adapter.py defines, by name; empty without the file.

    prepare(spec, raw): writes images or practice files; may be run again after an interruption.
    read_labels(spec, raw) -> frame `id, label`, with `path` and `group` where they exist.
    read_test(spec, raw) -> frame `id`, with `path` and `group` where they exist.
    read_image(spec, row) -> uint8 array (height, width, channels) of a CSV row.
    score(truth, predictions) -> the competition's own loss on frames aligned by id. A class called
    like one of foldwise's columns (`id`, `label`, ...) has the column `class:<name>` there.

    Raises: SpecError: the file does not load, or defines a public function that is no hook.
    """
    path = folder / "adapter.py"
    if not path.is_file():
        return {}
    module_spec = importlib.util.spec_from_file_location(f"foldwise_adapter_{folder.name}", path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except (ImportError, SyntaxError, NameError) as error:
        cause = f"{type(error).__name__}: {error}{_where_it_went(error)}"
        raise SpecError(f"{path} does not load: {cause}") from error
    public = {
        name: value
        for name, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", None) == module.__name__
        and not name.startswith("_")
    }
    for name in public:
        if name not in HOOKS:
            raise SpecError(
                f"{path}: {name!r} is no hook{nearest(name, HOOKS)}; "
                "begin the names of your own functions with _"
            )
    return public


def _where_it_went(error: Exception) -> str:
    """The new name of one of foldwise's modules that an adapter imports by its old one."""
    name = getattr(error, "name", None) or ""
    new = next((new for old, new in MOVED.items() if name.startswith(old)), None)
    return f"; import it from {new}" if new else ""


def need_hooks(spec: CompetitionSpec, hooks: Mapping[str, object], folder: Path) -> None:
    """Check that the hooks that competition.toml asks for are there, before anything is trained.

    Raises: SpecError: one is not.
    """
    for key, value, hook in (
        ("[labels] format", spec.labels.format, "read_labels"),
        ("[metric] name", spec.metric.name, "score"),
    ):
        if value == "hook" and hook not in hooks:
            raise SpecError(
                f'{folder}: {key} = "hook" needs {hook} in adapter.py; write it, or '
                f"choose another {key.split()[1]}"
            )
