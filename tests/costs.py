"""What makes a test slow: it trains, submits, or starts a process, itself or by what it calls.

The tests of the benchmarks are slow, too: they are about programs beside the package.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

TESTS = Path(__file__).resolve().parent
BENCHMARKS = TESTS / "benchmarks"
COSTLY = {  # functions and classes
    "foldwise.api.Competition",
    "foldwise.commands.submit.submit",
    "foldwise.commands.train.train",
    "foldwise.commands.trials.fast",
    "foldwise.commands.trials.find_lr",
    "foldwise.training.fitting.fold.train_fold",
    "foldwise.training.fitting.stages.train_stages",
    "subprocess.run",
    "subprocess.Popen",
    "subprocess.check_output",
}


def mark_slow(items: Iterable[pytest.Item]) -> None:
    """Mark as slow every test that comes to something costly, and those of the benchmarks."""
    known: dict[FunctionType, bool] = {}
    for item in items:
        if isinstance(item, pytest.Function):
            fixtures = item._fixtureinfo.name2fixturedefs.values()
            roots = [item.function, *(fixture[-1].func for fixture in fixtures)]
            functions = [root for root in roots if isinstance(root, FunctionType)]
            if item.path.parent == BENCHMARKS or any(is_costly(f, known) for f in functions):
                item.add_marker(pytest.mark.slow)


def is_costly(function: FunctionType, known: dict[FunctionType, bool]) -> bool:
    """Whether a function of the tests calls something costly, or a function of theirs that does."""
    if function not in known:
        known[function] = False  # what calls itself
        known[function] = any(
            name_of(thing) in COSTLY
            or any(is_costly(inner, known) for inner in functions_of(thing))
            for thing in mentioned(function)
        )
    return known[function]


def name_of(thing: object) -> str:
    """The full name of a function or class; empty for anything else."""
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"


def functions_of(thing: object) -> list[FunctionType]:
    """A function of the tests' own, or the methods of a class of theirs."""
    found = list(vars(thing).values()) if isinstance(thing, type) else [thing]
    functions = [f for f in found if isinstance(f, FunctionType)]
    return [f for f in functions if TESTS in Path(f.__code__.co_filename).parents]


def mentioned(function: FunctionType) -> Iterator[object]:
    """The things of its module that a function names, and those of modules that it names."""
    names = set(names_of(function.__code__))
    things = [function.__globals__[name] for name in names if name in function.__globals__]
    yield from things
    for module in (thing for thing in things if isinstance(thing, ModuleType)):
        yield from (vars(module)[name] for name in names if name in vars(module))


def names_of(code: CodeType) -> Iterator[str]:
    """The names in a function's code, and in the code of what stands inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from names_of(inner)
