"""A competition's adapter.py: hooks, and kinds of its own, for what foldwise does not know."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import SpecError, nearest
from foldwise.kinds.family import Context, Kind
from foldwise.kinds.metric import Scorer

if TYPE_CHECKING:
    from foldwise.config.competition import CompetitionSpec

ReadRows = Callable[["CompetitionSpec", Path], pd.DataFrame]
ReadImage = Callable[["CompetitionSpec", "pd.Series[str]"], Array]
MOVED = {  # what adapters used to import: where it is now
    "foldwise.spec": "foldwise.config",
    "foldwise.storage": "foldwise.store.files",
    "foldwise.data.coco": "foldwise.data.labels.coco",
    "foldwise.data.tables": "foldwise.tables.text",
    "foldwise.scoring": "foldwise.metrics",
}


class Hooks(TypedDict, total=False):
    """The hooks that an adapter.py defines, by name; see `load_adapter`."""

    prepare: Callable[["CompetitionSpec", Path], None]
    read_labels: ReadRows
    read_test: ReadRows
    read_image: ReadImage
    score: Scorer


HOOKS = tuple(Hooks.__annotations__)


@dataclass(frozen=True)
class Adapter:
    """What adapter.py defines: its hooks by name, and its kinds (see `kinds.family`)."""

    hooks: Hooks
    kinds: tuple[type[Kind], ...] = ()


def load_adapter(folder: Path) -> Adapter:
    """What folder/adapter.py defines; nothing without the file.

    prepare(spec, raw): writes images or practice files; may be run again after an interruption.
    read_labels(spec, raw) -> frame `id, label`, with `path` and `group` where they exist.
    read_test(spec, raw) -> frame `id`, with `path` and `group` where they exist.
    read_image(spec, row) -> uint8 array (height, width, channels) of a CSV row.
    score(truth, predictions) -> the competition's own loss on frames aligned by id. A class called
    like one of foldwise's columns (`id`, `label`, ...) has the column `class:<name>` there.
    A public class that is a kind, as `class Rank(Metric)`, can be named in the competition's TOML
    files.

    Raises: SpecError: the file does not load, or defines something public that is neither.
    """
    path = folder / "adapter.py"
    if not path.is_file():
        return Adapter(Hooks())
    public = _public(path, f"foldwise_adapter_{folder.name}")
    kinds = {
        name: value
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, Kind)
    }
    hooks = {name: value for name, value in public.items() if name not in kinds}
    for name in hooks:
        if name not in HOOKS:
            raise SpecError(
                f"{path}: {name!r} is no hook{nearest(name, HOOKS)}; "
                "begin the names of your own functions with _"
            )
    return Adapter(hooks=cast("Hooks", hooks), kinds=tuple(kinds.values()))


def kinds_of(folder: Path) -> Context:
    """The context in which a competition's TOML files are read: with the kinds of its adapter."""
    return Context(own=lambda: load_adapter(folder).kinds)


def _public(path: Path, name: str) -> dict[str, object]:
    """The functions and classes that a file defines without an underscore before their names."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations of its classes are looked up there
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError, NameError) as error:
        cause = f"{type(error).__name__}: {error}{_where_it_went(error)}"
        raise SpecError(f"{path} does not load: {cause}") from error
    return {
        key: value
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == name and key[0] != "_"
    }


def _where_it_went(error: Exception) -> str:
    """The new name of one of foldwise's modules that an adapter imports by its old one."""
    name = getattr(error, "name", None) or ""
    new = next((new for old, new in MOVED.items() if name.startswith(old)), None)
    return f"; import it from {new}" if new else ""
