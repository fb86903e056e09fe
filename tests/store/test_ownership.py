"""Files that foldwise writes are named, read and written in the store alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import foldwise
from foldwise.store import layout

SOURCE = Path(str(foldwise.__file__)).parent
MODULES = {
    path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text())
    for path in sorted(SOURCE.rglob("*.py"))
    if path.relative_to(SOURCE).parts[0] != "store"
}
STORED = {
    each.name
    for kind in vars(layout).values()
    if isinstance(kind, type) and issubclass(kind, layout.Folder)
    for each in vars(kind).values()
    if isinstance(each, layout.NamedFile)
}
FILES = {name for name in STORED if "." in name}  # the others are words, too: see `parts`
JSON_OF_OTHERS = {  # module -> whose JSON it reads
    "data/labels/coco.py": "annotations in the COCO format, of a competition",
    "submitting/platforms/credentials.py": "Kaggle's own files, of its command",
    "training/models/building.py": "what stands in the metadata of a file of weights",
    "training/speed/apart.py": "what a process of our own prints, which is no file",
}
NAMES_OF_OTHERS = {  # module -> what it names that only looks like a stored file
    "submitting/entry.py": "files of a scratch folder, which are gone at its end",
    "workspace.py": "the folders of all competitions, in which the store has its own",
}


def readers(tree: ast.Module) -> Iterator[str]:
    """The functions that read or write JSON that a module calls or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (a.name for a in node.names if a.name in ("read_json", "write_json"))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            whole = f"{node.value.id}.{node.attr}"
            if whole in ("json.load", "json.loads", "files.read_json", "files.write_json"):
                yield whole


def names(tree: ast.Module) -> Iterator[str]:
    """The names of stored files in a module's strings, docstrings left out."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in said else None
        if isinstance(text, str) and text.rpartition("/")[2] in FILES:
            yield text
        if isinstance(node, ast.JoinedStr) and len(node.values) > 1:
            first = node.values[0]
            if isinstance(first, ast.Constant) and first.value == layout.FOLD:
                yield ast.unparse(node)


def parts(tree: ast.Module) -> Iterator[str]:
    """The names of stored files and folders that a module puts behind a path with `/`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            text = node.right.value if isinstance(node.right, ast.Constant) else None
            if isinstance(text, str) and text.partition("/")[0] in STORED:
                yield text


def test_json_of_foldwises_own_is_read_and_written_in_the_store_alone() -> None:
    found = {module: [*readers(tree)] for module, tree in MODULES.items()}
    assert {module for module, calls in found.items() if calls} == {*JSON_OF_OTHERS}, found


def test_stored_files_are_named_in_the_store_alone() -> None:
    assert {"run.json", "done.json", "blend.json", "ledger.jsonl", "folds.csv"} < FILES
    assert {"raw", "folds", "wandb", "done"} < STORED - FILES
    found = {module: [*names(tree), *parts(tree)] for module, tree in MODULES.items()}
    assert {module for module, own in found.items() if own} == {*NAMES_OF_OTHERS}, {
        module: own for module, own in found.items() if own
    }
