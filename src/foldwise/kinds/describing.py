"""What settings models say of themselves: their docstrings, and the comments of their keys.

The comment of a key, above it or after it, is its description in the reference and in JSON schemas.
It may end with an example as TOML has it: `# The number of epochs. Example: 5`.
"""

import ast
import inspect
import io
import tokenize
import tomllib
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel

EXAMPLE = "Example: "


@dataclass(frozen=True)
class Description:
    """What a key means, as text; and an example of its value, if there is one."""

    text: str
    example: object = None


def summary_of(model: type[object]) -> str:
    """The first paragraph of a class's docstring, as one line."""
    return " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())


def descriptions_of(model: type[BaseModel]) -> dict[str, Description]:
    """What each key of a settings model means, by its name.

    Keys without a comment are left out; so are those of a class whose source is not there.
    """
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found |= _comments_in(cls)
    return {key: _parse(text) for key, text in found.items() if key in model.model_fields}


def _parse(comment: str) -> Description:
    text, _, example = comment.partition(EXAMPLE)
    value = tomllib.loads(f"value = {example}")["value"] if example else None
    return Description(text=text.strip(), example=value)


@cache
def _comments_in(cls: type[BaseModel]) -> dict[str, str]:
    """The comments of the keys that a class itself has."""
    try:
        source = inspect.cleandoc("\n" + inspect.getsource(cls))
    except (OSError, TypeError):
        return {}
    above, after = _comments(source)
    body = ast.parse(source).body[0]
    found = {}
    for node in body.body if isinstance(body, ast.ClassDef) else []:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines: list[str] = []
            row = node.lineno - 1
            while row in above:
                lines.insert(0, above[row])
                row -= 1
            rows = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            lines += [after[row] for row in rows if row in after]
            if lines:
                found[node.target.id] = " ".join(lines)
    return found


def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """The comments of a source by line: those that have a line to themselves, and the others."""
    above: dict[int, str] = {}
    after: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            (above if alone else after)[token.start[0]] = token.string.lstrip("# ").rstrip()
    return above, after
