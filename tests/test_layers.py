"""The rules of the house: directions of imports, light verbs, sizes of modules and functions."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from complexipy import file_complexity

SOURCE = Path(__file__).resolve().parents[1] / "src" / "foldwise"
MODULES = sorted(SOURCE.rglob("*.py"))
LINE = (
    "errors",
    "arrays",
    "workspace",
    "kinds",
    "config",
    "store",
    "tables",
    "tasks",
    "shapes",
    "data",
    "metrics",
    "training",
    "ensembling",
    "submitting",
    "executors",
    "jobs",
    "reporting",
    "doctor",
    "drafting",
    "commands",
    "reproducing",
    "api",
    "cli",
)
MOST_COMPLEX = 25  # of a function: cognitive complexity, as complexipy counts it
HOMES = {  # package -> where alone it may be imported
    "torch": "training",
    "fastai": "training",
    "timm": "training",
    "safetensors": "training",
    "huggingface_hub": "training",
    "kagglesdk": "submitting/platforms/kaggle_client.py",
    "kaggle": "submitting/platforms/kaggle_client.py",
    "wandb": "reporting/tracking.py",
    "ray": "executors",
    "typer": "cli",
}


def imports(path: Path) -> list[str]:
    """Every module that a file imports, at its top or inside a function."""
    return [name for node in ast.walk(ast.parse(path.read_text())) for name in imported(node)]


def imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports; none where it is no import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"relative import of {node.module}"
    inner = [f"foldwise.{alias.name}" for alias in node.names if node.module == "foldwise"]
    return [node.module or "", *inner]


def room(path: Path) -> str:
    """The room of a module: the first part of its name below foldwise."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_only_backwards_along_the_house(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__"):
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "foldwise" and len(parts) > 1:
            assert LINE.index(parts[1]) <= LINE.index(here), f"{path} imports {name}"
            if here == "executors":
                assert parts[1] in (here, "store", "errors", "arrays"), f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_heavy_packages_are_imported_in_one_place_only(path: Path) -> None:
    relative = path.relative_to(SOURCE).as_posix()
    typing_only = relative == "api.py"  # under TYPE_CHECKING, for the DataBlock in a signature
    for name in imports(path):
        home = HOMES.get(name.split(".")[0])
        if home and not typing_only:
            assert relative.startswith(home), f"{relative} imports {name}, which belongs in {home}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 450
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{path.name}: {node.name} has {length} lines with its docstring"


def test_the_other_programs_are_short_too(repository: Path) -> None:
    for path in [*repository.glob("benchmarks/*.py"), *repository.glob("competitions/*/*.py")]:
        assert len(path.read_text().splitlines()) <= 450, path


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_functions_are_simple(path: Path) -> None:
    for function in file_complexity(str(path)).functions:
        tangled = (
            f"{path.name}: {function.name} has a cognitive complexity of {function.complexity}"
        )
        assert function.complexity <= MOST_COMPLEX, tangled


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_everything_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in [*tree.body, *(inner for each in classes for inner in each.body)]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


def test_no_competition_is_named_in_the_package(repository: Path) -> None:
    names = [p.parent.name for p in (repository / "competitions").glob("*/competition.toml")]
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                values = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                assert not set(values) & set(names), f"{path} compares with a competition's name"


HEAVY = ("torch", "fastai", "timm", "sklearn", "scipy", "matplotlib", "kaggle", "wandb", "ray")


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--help"], ()),
        (["list"], ()),
        (["status"], ()),
        (["status", "tiny"], ()),
        (["status", "tiny", "--runs"], ()),
        (["new", "birds", "--from", "data/tiny/raw"], ()),
        (["check", "tiny"], ("sklearn", "scipy")),
    ],
    ids=" ".join,
)
def test_light_verbs_load_nothing_heavy(
    words: list[str], allowed: tuple[str, ...], workspace: object, tmp_path: Path
) -> None:
    program = (
        "import sys\nfrom foldwise.cli import app\n"
        f"sys.argv = ['foldwise', *{words!r}]\n"
        "try:\n    app()\nexcept SystemExit as end:\n    code = end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('heavy:', *heavy, 'exit:', code or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].removeprefix("heavy:").split("exit:")
    assert set(loaded[0].split()) <= set(allowed)
    assert loaded[1].strip() == "0"


def test_every_kind_is_loaded_without_anything_heavy() -> None:
    program = (
        "import importlib, pkgutil, sys\nimport foldwise.kinds\n"
        "from foldwise.kinds.family import Family\n"
        "names = [m.name for m in pkgutil.iter_modules(foldwise.kinds.__path__)]\n"
        "found = [importlib.import_module(f'foldwise.kinds.{name}') for name in names]\n"
        "families = [f for m in found for f in vars(m).values() if isinstance(f, Family)]\n"
        "print(sum(len(family.every()) for family in families))\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, heavy = done.stdout.split("\n")[:2]
    assert int(count) > 0
    assert heavy == ""


def test_ruff_format_decides_every_line(repository: Path) -> None:
    marks = ("# fmt" + ": skip", "# fmt" + ": off")
    folders = ("src", "tests", "benchmarks", "competitions")
    paths = [path for folder in folders for path in (repository / folder).rglob("*.py")]
    assert len(paths) > 300
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert not any(mark in text for mark in marks), f"{path}: let ruff format decide"


UNIX = ("fcntl", "resource", "pwd", "grp", "termios", "pty")  # modules that Windows lacks


def test_no_module_needs_at_its_import_what_only_unix_has() -> None:
    found = [
        f"{path}: {name}"
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(node)
        if name in UNIX
    ]
    assert found == []


def test_the_light_modules_import_where_unix_is_not() -> None:
    program = (
        f"import os, sys\nsys.modules |= dict.fromkeys({UNIX!r})\n"
        "del os.posix_fallocate, os.pwrite, os.setpriority\n"
        "import foldwise.cli, foldwise.commands.submit, foldwise.executors.node"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
