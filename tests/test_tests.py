"""No test passes because there was nothing to look at, and the quick ones are quick."""

import ast
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path

import pytest

import costs

TESTS = Path(__file__).resolve().parent
OF_AN_ARGUMENT = ("enumerate", "sorted", "reversed", "list", "tuple", "set", "permutations")
OF_AN_OWNER = ("items", "keys", "values", "split", "splitlines")  # methods
Values = dict[str, list[ast.expr]]  # name -> what it is assigned


def called(node: ast.AST) -> str:
    """The last part of the name of what a call calls; empty for anything else."""
    return ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""


def asserts(node: ast.AST) -> bool:
    """Whether a node is an assertion: the statement, pytest.raises, or a call of assert_*."""
    return isinstance(node, ast.Assert) or called(node).startswith(("assert_", "raises", "warns"))


def values_of(*statements: ast.stmt) -> Values:
    """What each name may be that these statements assign."""
    found: Values = defaultdict(list)
    for node in statements:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=True))
                for name, value in pairs:
                    found[ast.unparse(name)].append(value)
    return found


def parameters_of(function: ast.FunctionDef) -> set[str]:
    """The arguments that parametrize gives a test."""
    marks = [mark for mark in function.decorator_list if called(mark) == "parametrize"]
    names = [ast.literal_eval(mark.args[0]) for mark in marks if isinstance(mark, ast.Call)]
    return {*chain.from_iterable([name] if isinstance(name, str) else name for name in names)}


def parts_of(node: ast.expr) -> list[ast.expr]:
    """What fills a loop: `a` in `enumerate(a.items())`, `a` or `b` in `zip(a, b, strict=True)`."""
    parts: list[ast.expr] = []
    match node:
        case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts):
            parts = [part.value for part in elts if isinstance(part, ast.Starred)]
        case ast.Call(args=args, keywords=[ast.keyword(arg="strict")]) if called(node) == "zip":
            parts = args
        case ast.Call(args=[first, *_]) if called(node) in OF_AN_ARGUMENT:
            parts = [first]
        case ast.Call(func=ast.Attribute(value=owner)) if called(node) in OF_AN_OWNER:
            parts = [owner]
    return [each for part in parts for each in parts_of(part)] if parts else [node]


def is_filled(node: ast.expr, values: Values) -> bool:
    """Whether the source alone says that something is not empty."""
    match node:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            if any(not isinstance(part, ast.Starred) for part in parts):
                return True
        case ast.Dict(keys=keys):
            return any(key is not None for key in keys)
        case ast.Name(id=name):
            others = {other: values[other] for other in values if other != name}
            return name in values and all(is_filled(value, others) for value in values[name])
        case ast.BinOp(left=left, right=right, op=ast.Add() | ast.BitOr() | ast.Mult()):
            return is_filled(left, values) or is_filled(right, values)
        case ast.ListComp(generators=loops) | ast.GeneratorExp(generators=loops):
            return all(not loop.ifs and is_filled(loop.iter, values) for loop in loops)
        case ast.Call(args=args) if called(node) == "range":
            ends = [arg.value for arg in args if isinstance(arg, ast.Constant)]
            return len(ends) == len(args) and len(range(*ends)) > 0
        case ast.Call(args=args) if called(node) == "product":
            return all(is_filled(arg, values) for arg in args)
    return any(part is not node and is_filled(part, values) for part in parts_of(node))


def loops_of(function: ast.FunctionDef) -> Iterator[tuple[ast.stmt, ast.expr]]:
    """The loops of a test that assert, and what each is over; `assert all(...)` is one."""
    for node in ast.walk(function):
        if isinstance(node, ast.For):
            if any(asserts(inner) for inner in ast.walk(node)):
                yield node, node.iter
        elif isinstance(node, ast.Assert):
            match node.test:
                case ast.Call(func=ast.Name(id="all"), args=[ast.GeneratorExp(generators=loops)]):
                    yield node, loops[0].iter
                case ast.UnaryOp(
                    op=ast.Not(),
                    operand=ast.Call(
                        func=ast.Name(id="any"), args=[ast.GeneratorExp(generators=loops)]
                    ),
                ):
                    yield node, loops[0].iter


def perhaps_idle(module: ast.Module) -> list[str]:
    """The loops of a file's tests that assert, but nothing says that there is anything to assert.

    A loop is fine over something that the source shows to be filled, or that another assertion
    of the same test looks at.
    """
    found = []
    tests = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    for test in (test for test in tests if test.name.startswith("test_")):
        inner = [node for node in ast.walk(test) if isinstance(node, ast.stmt)]
        values = values_of(*module.body, *inner)
        values |= {name: [ast.Constant(True)] for name in parameters_of(test)}
        asserted = [node for node in ast.walk(test) if isinstance(node, ast.Assert)]
        for loop, over in loops_of(test):
            own = {id(node) for node in ast.walk(loop)}
            looked_at = {
                ast.unparse(part)
                for node in asserted
                if id(node) not in own
                for part in ast.walk(node)
                if isinstance(part, ast.expr)
            }
            named = {ast.unparse(part) for part in parts_of(over)}
            if not is_filled(over, values) and named.isdisjoint(looked_at):
                found.append(f"{test.name}, line {loop.lineno}: {ast.unparse(over)}")
    return found


def test_no_loop_that_asserts_may_be_over_nothing() -> None:
    paths = sorted(TESTS.rglob("test_*.py"))
    assert len(paths) > 150
    found = {
        str(path.relative_to(TESTS)): perhaps_idle(ast.parse(path.read_text(encoding="utf-8")))
        for path in paths
    }
    assert {path: loops for path, loops in found.items() if loops} == {}


@pytest.mark.parametrize(
    ("body", "idle"),
    [
        ("for x in found(): assert x", True),
        ("for x in [y for y in (1, 2) if y > 2]: assert x", True),
        ("for x in found().items(): np.testing.assert_equal(x, 1)", True),
        ("for x in found():\n  with pytest.raises(OSError): x()", True),
        ("assert all(x for x in found())", True),
        ("assert not any(x for x in found())", True),
        ("for x in (*found(), *others()): assert x", True),
        ("names = []\n for x in names: assert x", True),
        ("for x in found():\n  assert found()", True),
        ("for x in range(0): assert x", True),
        ("for x in range(len(found())): assert x", True),
        ("for x in (1, 2): assert x", False),
        ("for x, y in zip(found(), 'ab', strict=True): assert x", False),
        ("names = ['a']\n for x in sorted(names): assert x", False),
        ("assert len(found()) == 3\n for x in enumerate(found()): assert x", False),
        ("for x in given: assert x", False),
        ("for x in LISTED.items(): assert x", False),
        ("for x in range(0, 9, 2): assert x", False),
        ("for x in found(): print(x)", False),
    ],
)
def test_a_loop_that_may_be_over_nothing_is_found(body: str, idle: bool) -> None:
    test = f"@pytest.mark.parametrize('given', LISTED)\ndef test_it(given):\n {body}\n"
    assert bool(perhaps_idle(ast.parse(f"LISTED = {{1: 2}}\n{test}"))) == idle


@pytest.mark.parametrize("name", sorted(costs.COSTLY))
def test_what_makes_a_test_slow_is_there_by_that_name(name: str) -> None:
    module, _, thing = name.rpartition(".")
    assert costs.name_of(getattr(import_module(module), thing)) == name


def through_a_fixture() -> None:
    """Start a process."""
    subprocess.run(["true"], check=True)


def test_a_test_is_slow_by_what_it_calls() -> None:
    def direct() -> None:
        subprocess.run(["true"], check=True)

    def later() -> Callable[[], None]:
        return lambda: through_a_fixture()

    def never() -> None:
        subprocess.list2cmdline(["true"])

    assert [costs.is_costly(each, {}) for each in (direct, later, never)] == [True, True, False]
    assert costs.is_costly(through_a_fixture, {})
