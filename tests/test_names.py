"""Names: a function is a verb or the noun it returns, and a name has one meaning in the package."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "foldwise"
IRREGULAR = frozenset(
    re.findall(
        r"\w+",
        "begun bound broken built caught chosen cut dealt done drawn felt found given grown held "
        "kept known laid left lost made met moved paid put said seen sent shown sold split spoken "
        "stored stuck taken thrown told torn understood won worn written ",
    )
)
NO_PARTICIPLES = frozenset(
    ("cut", "embed", "feed", "meaning", "need", "preprocessing", "put", "read", "scaling", "split")
)
STATES = frozenset(
    ("begun", "cached", "expected", "finished", "recompressed", "trained", "unfinished")
)
SHARED = frozenset(  # names that a library gives, or that mean the same wherever they stand
    ("CHUNK", "Fitted", "GB", "NESTED", "Name", "P", "PARTS", "T", "__all__", "log")
)


def is_participle(name: str) -> bool:
    """Whether a name is one word, and that is what was done (`resized`, `_told`)."""
    word = name.strip("_")
    return (
        re.fullmatch(r"[a-z]+(ed|ing)", word) is not None or word in IRREGULAR
    ) and word not in NO_PARTICIPLES


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, bool]]:
    """Functions of a module, and methods of its classes: those that are properties or methods."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node, False
        if isinstance(node, ast.ClassDef):
            yield from ((each, True) for each in node.body if isinstance(each, ast.FunctionDef))


def meanings() -> dict[str, list[str]]:
    """The modules in which each class and each constant is defined."""
    homes = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.ClassDef(name=name):
                    homes[name].append(path.name)
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name))
                ):
                    homes[name].append(path.name)
    return homes


def test_a_participle_is_known_by_its_end() -> None:
    assert is_participle("resized")
    assert is_participle("_told")
    assert is_participle("averaging")
    assert not is_participle("read")
    assert not is_participle("read_rows")


def test_no_function_is_named_by_a_participle_alone() -> None:
    found = [
        f"{path.relative_to(SOURCE)}: {function.name}"
        for path in sorted(SOURCE.rglob("*.py"))
        for function, method in functions(ast.parse(path.read_text()))
        if is_participle(function.name) and not (method and function.name in STATES)
    ]
    assert not found, "name it by what it does (resize) or returns (sizes)"


def test_a_name_of_a_class_or_constant_has_one_meaning() -> None:
    homes = meanings()
    assert len(homes) > 500
    several = {name: where for name, where in homes.items() if len(where) > 1}
    assert {name: several[name] for name in several.keys() - SHARED} == {}


@pytest.mark.parametrize("name", sorted(SHARED | STATES))
def test_an_exception_is_still_needed(name: str) -> None:
    methods = {
        function.name
        for path in SOURCE.rglob("*.py")
        for function, method in functions(ast.parse(path.read_text()))
        if method
    }
    assert name in methods if name in STATES else len(meanings()[name]) > 1
