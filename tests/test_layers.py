"""The rules of the house: directions of imports, light verbs, sizes of modules and functions."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from complexipy import file_complexity

from foldwise.workspace import Workspace

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


Lines = list[str]


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """Every module of the package by its path, read once: `cli/console.py`."""
    found = {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in MODULES
    }
    assert {"errors.py", "cli/console.py", "training/models/building.py"} <= found.keys()
    return found


def imported(node: ast.AST) -> Lines:
    """The modules that a statement imports; none where it is no import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"relative import of {node.module}"
    inner = [f"foldwise.{alias.name}" for alias in node.names if node.module == "foldwise"]
    return [node.module or "", *inner]


@pytest.fixture(scope="module")
def imports(trees: dict[str, ast.Module]) -> dict[str, Lines]:
    """What each module imports, at its top or inside a function."""
    found = {
        path: [name for node in ast.walk(tree) for name in imported(node)]
        for path, tree in trees.items()
    }
    assert sum(map(len, found.values())) > 1000
    return found


def room(path: str) -> str:
    """The room of a module: the first part of its name below foldwise."""
    return path.split("/")[0].removesuffix(".py")


def test_imports_go_only_backwards_along_the_house(imports: dict[str, Lines]) -> None:
    inner = [
        (path, room(path), name.split(".")[1])
        for path, names in imports.items()
        for name in names
        if name.startswith("foldwise.") and room(path) not in ("__init__", "__main__")
    ]
    assert len(inner) > 500
    assert [each for each in inner if LINE.index(each[2]) > LINE.index(each[1])] == []
    known = ("executors", "store", "kinds", "errors", "arrays")  # of kinds, the events
    assert [each for each in inner if each[1] == "executors" and each[2] not in known] == []


def test_heavy_packages_are_imported_in_one_place_only(imports: dict[str, Lines]) -> None:
    found = [
        (path, name)
        for path, names in imports.items()
        for name in (name.split(".")[0] for name in names)
        if name in HOMES and path != "api.py"  # the DataBlock in a signature, never imported
    ]
    assert {name for _, name in found} == HOMES.keys()
    assert [(path, name) for path, name in found if not path.startswith(HOMES[name])] == []


MOST_LINES, MOST_FUNCTION_LINES = 450, 60  # of a module; of a function with its docstring
MOST_PARAMETERS = 6  # without self and cls; in cli/ a verb's options are parameters


def the_longest(what: str, lengths: dict[str, int]) -> int:
    """The greatest of some lengths; the ten longest are printed, as `pytest -rP` shows."""
    ten = sorted(lengths.items(), key=lambda item: -item[1])[:10]
    print(f"the ten longest {what}:", *(f"{lines:5} {name}" for name, lines in ten), sep="\n")
    return ten[0][1]


def test_modules_are_short(repository: Path) -> None:
    programs = [*repository.glob("benchmarks/*.py"), *repository.glob("competitions/*/*.py")]
    assert len(programs) > 10
    lengths = {str(path): len(path.read_text().splitlines()) for path in [*MODULES, *programs]}
    assert the_longest("modules", lengths) <= MOST_LINES


def test_functions_are_short(trees: dict[str, ast.Module]) -> None:
    lengths = {
        f"{path}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert len(lengths) > 1000
    assert the_longest("functions", lengths) <= MOST_FUNCTION_LINES


def test_functions_have_few_parameters(trees: dict[str, ast.Module]) -> None:
    counts = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and room(path) != "cli":
                own = node.args
                listed = (*own.posonlyargs, *own.args, *own.kwonlyargs, own.vararg, own.kwarg)
                names = [each.arg for each in listed if each and each.arg not in ("self", "cls")]
                counts[f"{path}: {node.name}"] = len(names)
    assert len(counts) > 1000
    assert {name: n for name, n in counts.items() if n > MOST_PARAMETERS} == {}


def last_name(node: ast.expr) -> str:
    """The name that an expression ends in: `Kind` of `family.Kind`, `Family` of `Family[K]`."""
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return getattr(node, "attr", getattr(node, "id", ""))


def record_names(trees: dict[str, ast.Module]) -> set[str]:
    """The package's own dataclasses, named tuples and pydantic models."""
    bases: dict[str, set[str]] = {}
    records = {"NamedTuple", "BaseModel"}
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef):
            bases.setdefault(node.name, set()).update(map(last_name, node.bases))
            if any(last_name(each) == "dataclass" for each in node.decorator_list):
                records.add(node.name)
    while more := {name for name, own in bases.items() if own & records} - records:
        records |= more
    return records & bases.keys()


def test_records_are_built_by_name(trees: dict[str, ast.Module]) -> None:
    records = record_names(trees)
    assert len(records) > 100
    calls = [
        (f"{path}:{node.lineno}: {last_name(node.func)}", node.args)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and last_name(node.func) in records
    ]
    assert len(calls) > 100
    starred = [call for call, given in calls if any(isinstance(a, ast.Starred) for a in given)]
    assert starred + [call for call, given in calls if len(given) > 1] == []


def test_any_stands_in_few_modules(trees: dict[str, ast.Module], repository: Path) -> None:
    found = {
        path
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("typing", "typing_extensions")
        if any(alias.name == "Any" for alias in node.names)
    }
    known = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["mypy"]
    assert known["strict"]
    assert known["disallow_any_explicit"]
    (open_ones,) = (
        each["module"] for each in known["overrides"] if "disallow_any_explicit" in each
    )
    modules = {f"foldwise/{path}".removesuffix(".py").removesuffix("/__init__") for path in found}
    assert {name.replace("/", ".") for name in modules} == {*open_ones}
    assert len(open_ones) <= 12


def test_functions_are_simple() -> None:
    tangled = {
        f"{path}: {function.name}": function.complexity
        for path in MODULES
        for function in file_complexity(str(path)).functions
    }
    assert len(tangled) > 1000
    assert {name: count for name, count in tangled.items() if count > MOST_COMPLEX} == {}


def test_everything_public_says_what_it_is(trees: dict[str, ast.Module]) -> None:
    public = {}
    for path, tree in trees.items():
        public[path] = ast.get_docstring(tree)
        classes = [
            node
            for node in tree.body
            if isinstance(node, ast.ClassDef) and "Protocol" not in map(ast.unparse, node.bases)
        ]  # the methods of a protocol are someone else's
        for node in [*tree.body, *(inner for each in classes for inner in each.body)]:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                public[f"{path}: {node.name}"] = ast.get_docstring(node)
    assert len(public) > 1000
    assert [name for name, text in public.items() if not text] == []


def test_no_competition_is_named_in_the_package(
    repository: Path, trees: dict[str, ast.Module]
) -> None:
    names = {p.parent.name for p in (repository / "competitions").glob("*/competition.toml")}
    compared = [
        (path, value.value)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for value in ast.walk(node)
        if isinstance(value, ast.Constant)
    ]
    assert "wildlife" in names
    assert len(compared) > 500
    assert [(path, value) for path, value in compared if value in names] == []


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
        (["schema", "recipe"], ()),
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
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    assert [path for path, text in texts.items() if any(mark in text for mark in marks)] == []


UNIX = ("fcntl", "resource", "pwd", "grp", "termios", "pty")  # modules that Windows lacks


def test_no_module_needs_at_its_import_what_only_unix_has(trees: dict[str, ast.Module]) -> None:
    found = [
        (path, name)
        for path, tree in trees.items()
        for node in tree.body
        for name in imported(node)
    ]
    assert len(found) > 500
    assert [(path, name) for path, name in found if name in UNIX] == []


WITHOUT_UNIX = """
import importlib, os, pkgutil, sys
import ray  # which asks for the platform's name, and would import `resource` on this one
sys.modules |= dict.fromkeys({hidden!r})
for name in ("posix_fallocate", "pwrite", "setpriority", "killpg", "getpgrp"):
    delattr(os, name)
"""
EVERY_MODULE = """
import foldwise
found = [module.name for module in pkgutil.walk_packages(foldwise.__path__, "foldwise.")]
for name in found:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(found))
"""
ONE_VERB = """
from foldwise.cli import main
sys.argv = ["foldwise", *{words!r}]
main()
"""


def run_without_unix(program: str, **options: Path) -> subprocess.CompletedProcess[str]:
    """Run a program where the modules and functions that Windows lacks are hidden."""
    program = WITHOUT_UNIX.format(hidden=UNIX) + program
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_every_module_imports_where_unix_is_not() -> None:
    done = run_without_unix(EVERY_MODULE)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "list",
        "status",
        "status tiny",
        "check tiny",
        "new birds --from data/tiny/raw",
        "score tiny data/tiny/raw/submission_format.csv",
    ],
)
def test_light_verbs_run_where_unix_is_not(words: str, workspace: Workspace) -> None:
    done = run_without_unix(ONE_VERB.format(words=words.split()), cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout != ""


def test_every_room_has_its_tests_in_a_folder_of_its_name(repository: Path) -> None:
    def folders(where: Path) -> set[str]:
        return {path.parent.name for path in where.glob("*/*.py")}

    assert folders(SOURCE) >= {"kinds", "store", "training"}
    beside = {"benchmarks", "catalogue", "standin"}  # other programs, and what tests use
    assert folders(repository / "tests") - beside == folders(SOURCE)
