"""The pages of docs/reference/, made from the settings models and the command line.

`make reference` writes them; a test fails where they are older than what they describe.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import typer
from pydantic import BaseModel

from foldwise.cli import app
from foldwise.config.augment import Augment
from foldwise.config.competition import (
    BESIDE,
    CompetitionSpec,
    Files,
    Holdout,
    Images,
    Outside,
    Submit,
)
from foldwise.config.labels import LABELS
from foldwise.config.pseudo import Pseudo
from foldwise.config.recipe import Recipe
from foldwise.config.schema import model_schema
from foldwise.config.stage import Stage
from foldwise.data.labels.sqlite import Limits, Rules
from foldwise.kinds.augmentation import AUGMENTATIONS
from foldwise.kinds.blending import BLENDINGS
from foldwise.kinds.describing import descriptions_of, summary_of
from foldwise.kinds.family import Family, Kind
from foldwise.kinds.folds import FOLDS
from foldwise.kinds.loss import LOSSES
from foldwise.kinds.method import EVERY, METHODS, Method
from foldwise.kinds.metric import METRICS, Metric
from foldwise.kinds.platform import PLATFORMS
from foldwise.kinds.reader import READERS
from foldwise.kinds.schedule import SCHEDULES
from foldwise.kinds.shape import SHAPES

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTE = "<!-- Written by `make reference`; change what it is made from. -->"
WORDS = {"string": "text", "integer": "whole number", "number": "number", "object": "table"}
VALUES = {str: "text", int: "whole number", float: "number", Path: "path", bool: ""}
Table = Mapping[str, object]  # of a JSON schema

COMPETITION = """
# competition.toml

The facts of a competition, in `competitions/NAME/competition.toml`. A key that is not here is an
error that names the nearest one.

Editors with [taplo](https://taplo.tamasfe.dev) (Even Better TOML in VS Code) complete and check the
keys of a file whose first line names its JSON schema: `#:schema ../.schema/competition.json` in
this file, `#:schema ../../.schema/recipe.json` in a recipe. `foldwise new` writes these lines, and
the schemas into `competitions/.schema/`, so no network is needed. For a file of your own, and after
an update of foldwise:

<!-- runnable -->
```console
$ foldwise schema competition --out competitions/.schema/competition.json
$ foldwise schema recipe --out competitions/.schema/recipe.json
```

A choice, such as a metric, is a name or a table: `metric = "f1"` is `metric = {name = "f1"}`, and a
table sets more, as `metric = {name = "f1", average = "macro"}`.

A schema knows foldwise's own choices. An editor underlines names from an `adapter.py`; they work.
"""
RECIPE = """
# Recipes

How a model is trained, in `competitions/NAME/recipes/RECIPE.toml`. Any key can be set for one
command: `--set batch_size=32`, `--set stage.0.epochs=3`, `--set augment.hflip=false`.
"""
COMMANDS = """
# Commands

Every command with its options. [How to use them](../how-to/commands.md) is a guide of its own.

<!-- runnable -->
```console
$ foldwise --help
$ foldwise list --help
```
"""


@dataclass(frozen=True)
class Choice:
    """A family with a page of its own: the page, its title, and how a TOML file names a kind."""

    family: Family
    page: str
    title: str
    use: str


CHOICES = (
    Choice(PLATFORMS, "platforms", "Platforms", 'platform = "kaggle"'),
    Choice(LABELS, "label-formats", "Label formats", '[labels]\nformat = "class_column"'),
    Choice(SHAPES, "shapes", "Shapes of submissions", '[submission]\nshape = "wide"'),
    Choice(METRICS, "metrics", "Metrics", '[metric]\nname = "f1"'),
    Choice(FOLDS, "fold-schemes", "Fold schemes", '[folds.default]\nkind = "stratified"'),
    Choice(BLENDINGS, "blend-methods", "Blend methods", '[submit]\nblend = "mean"'),
    Choice(READERS, "image-readers", "Image readers", '[images]\nreaders = ["jpeg_xl"]'),
    Choice(METHODS, "methods", "Training methods", 'model = "resnet34.tv_in1k"'),
    Choice(LOSSES, "losses", "Losses", 'loss = "focal"'),
    Choice(SCHEDULES, "schedules", "Schedules", '[[stage]]\nschedule = "flat_cos"'),
    Choice(AUGMENTATIONS, "augmentations", "Augmentations", "[augment]\nrotate = 10"),
)


def toml(value: object) -> str:
    """A plain value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'" if "\\" in value or '"' in value else f'"{value}"'
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {toml(part)}' for key, part in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return str(value)


def code(text: str) -> str:
    """Text as code in a cell of a table."""
    return f"`{text}`".replace("|", "\\|")


def number(value: object) -> str:
    """A bound as people write it."""
    assert isinstance(value, int | float)
    whole = float(value).is_integer() and abs(value) < 1e10
    return (
        f"{int(value):,}" if whole else re.sub(r"e([+-])0?", r"e\1", f"{value:g}").replace("+", "")
    )


def words_of(table: Table) -> str:
    """What a value may be, from its JSON schema: its type and its range."""
    parts = table.get("anyOf") or table.get("oneOf")
    if isinstance(parts, list):
        choice = choice_of(parts)
        return choice or " or ".join(dict.fromkeys(map(words_of, parts)))
    if "const" in table:
        return code(toml(table["const"]))
    if isinstance(names := table.get("enum"), list):
        return ", ".join(code(toml(name)) for name in names)
    kind = str(table.get("type", "object"))
    if kind == "boolean":
        return "`true`, `false`"
    if kind == "array":
        return _words_of_list(table)
    if isinstance(inner := table.get("additionalProperties"), dict):
        return f"table by name: {words_of(inner)}"
    return " ".join(filter(None, [WORDS[kind], _range(table)]))


def choice_of(parts: Sequence[Table]) -> str:
    """A link to the page of the family whose kinds these are; empty where they are of none."""
    for choice in CHOICES:
        keys = parts[1].get("properties", {})
        named = keys.get(choice.family.key, {}) if isinstance(keys, dict) else {}
        if named.get("const") == next(iter(choice.family.known)):
            return f"[{choice.family.called}]({choice.page}.md)"
    return ""


def _words_of_list(table: Table) -> str:
    parts, inner = table.get("prefixItems"), table.get("items")
    if isinstance(parts, list):
        return f"[{', '.join(map(words_of, parts))}]"
    assert isinstance(inner, dict)
    return f"list of {words_of(inner)}"


def _range(table: Table) -> str:
    """The bounds of a number."""
    names = {
        "minimum": "from",
        "exclusiveMinimum": "above",
        "maximum": "to",
        "exclusiveMaximum": "below",
    }
    found = [f"{word} {number(table[key])}" for key, word in names.items() if key in table]
    return re.sub(r"^(from \S+), to", r"\1 to", ", ".join(found))


def default_of(model: type[BaseModel], key: str) -> str:
    """A key's default in a cell; nothing where it is a table or none."""
    field = model.model_fields[key]
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Kind):
        families = [choice.family for choice in CHOICES if isinstance(value, choice.family.base)]
        return f"default {code(toml(families[0].name_of(value)))}"
    if value is None or isinstance(value, BaseModel) or value in ((), {}):
        return ""
    return f"default {code(toml(value))}"


def keys_table(model: type[BaseModel], keys: Iterable[str], prefix: str = "") -> list[str]:
    """A table of keys: each with what it may be, its default, its meaning and an example.

    prefix: before the keys in their anchors.
    """
    schema, meanings = model_schema(model)["properties"], descriptions_of(model)
    lines = ["| Key | Value | Meaning |", "|---|---|---|"]
    for key in keys:
        meaning = meanings[key]
        text = meaning.text.replace("|", "\\|")
        if meaning.example is not None:
            text += f"<br>{code(f'{key} = {toml(meaning.example)}')}"
        anchor = f'<a id="{prefix}{key}"></a>'
        value = "<br>".join(filter(None, [words_of(schema[key]), default_of(model, key)]))
        lines.append(f"| {anchor}`{key}` | {value} | {text} |")
    return lines if len(lines) > 2 else ["It has no keys of its own."]


def section(
    title: str, model: type[BaseModel], leave: Sequence[str] = (), note: str = ""
) -> list[str]:
    """A section on a table of a TOML file. leave: keys left out. note: a paragraph of its own."""
    keys = [key for key in model.model_fields if key not in leave]
    prefix = re.sub(r"[^a-z.]", "", title.lower()) + "." if title.startswith("`[") else ""
    lines = ["", f"## {title}", "", summary_of(model), "", *([note, ""] if note else [])]
    return [*lines, *keys_table(model, keys, prefix)]


def link(family: Family) -> str:
    """A link to a family's page."""
    choice = next(choice for choice in CHOICES if choice.family is family)
    return f"[{choice.title.lower()}]({choice.page}.md)"


def competition_page() -> list[str]:
    """Every key of competition.toml."""
    keys_of_platform = ", ".join(f"`{key}`" for key in BESIDE)
    return [
        *COMPETITION.strip().splitlines(),
        *section(
            "Top of the file",
            CompetitionSpec,
            ("name",),
            f"{keys_of_platform} of [the platform](platforms.md) may stand here, too.",
        ),
        *section("`[files]`", Files),
        "",
        "## `[labels]`",
        "",
        f"Its keys depend on `format`: see {link(LABELS)}.",
        *section("`[images]`", Images),
        "",
        "## `[metric]`, `[submission]`, `[folds.NAME]`",
        "",
        f"Their keys depend on what is chosen: see {link(METRICS)}, {link(SHAPES)}, {link(FOLDS)}.",
        *section("`[holdout]`", Holdout),
        *section("`[submit]`", Submit, note=f"For `blend` see {link(BLENDINGS)}."),
        *section("`[[submit.member]]`", Outside),
    ]


def recipe_page() -> list[str]:
    """Every key of a recipe."""
    known = ", ".join(f"`{key}`" for key in sorted(EVERY - {"name"}))
    return [
        *RECIPE.strip().splitlines(),
        *section(
            "Top of the file",
            Recipe,
            ("name",),
            f"See {link(METHODS)} for `model`, {link(LOSSES)} for `loss`. Every method takes "
            f"{known}; the other keys are those of networks.",
        ),
        *section("`[[stage]]`", Stage, note=f"For `schedule` see {link(SCHEDULES)}."),
        *section("`[augment]`", Augment, note=f"For the names see {link(AUGMENTATIONS)}."),
        *section("`[pseudo]`", Pseudo),
    ]


def facts_of(kind: type[Kind]) -> str:
    """What is known of a kind beside its docstring and keys."""
    if issubclass(kind, Metric) and kind.hook is None:
        return f"A {kind.better} score is better."
    if issubclass(kind, Method):
        others = sorted({*Recipe.model_fields} - EVERY - kind.keys)
        keys = ", ".join(f"[`{key}`](recipe.md#{key})" for key in others)
        if kind.keys and others:
            return f"It takes every key of a recipe but {keys}."
        return (
            f"It takes {'every key' if kind.keys else 'only the keys of every method'} of a recipe."
        )
    return ""


def choice_page(choice: Choice) -> list[str]:
    """The kinds of a family: what each does, with its keys."""
    family = choice.family
    kinds = family.every()
    shared = [key for key in family.base.model_fields if key != family.key]
    usual = f" Without a name it is `{family.default}`." if family.default else ""
    lines = [f"# {choice.title}", "", "```toml", choice.use, "```", ""]
    article = "An" if family.called[0] in "aeiou" else "A"
    own = "is a class in [adapter.py](../how-to/adapter.md)."
    lines += [f"{article} {family.called} of your own {own}{usual}"]
    lines += ["", "| Name | What it is |", "|---|---|"]
    lines += [f"| [`{name}`](#{name}) | {summary_of(kind)} |" for name, kind in kinds.items()]
    if shared:
        lines += [
            "",
            f"## Keys of every {family.called}",
            "",
            *keys_table(next(iter(kinds.values())), shared),
        ]
    for name, kind in kinds.items():
        own = [key for key in kind.model_fields if key not in (family.key, *shared)]
        facts = [facts_of(kind), ""] if facts_of(kind) else []
        text = (inspect.getdoc(kind) or "").splitlines()
        lines += ["", f"## `{name}`", "", *text, "", *facts]
        lines += keys_table(kind, own, f"{name}.")
        if "rules" in own:
            lines += section(f"`[labels.rules]` of `{name}`", Rules)
            lines += section("`min` and `max` of rules", Limits)
    return lines


def commands_page() -> list[str]:
    """Every verb with its arguments and options, by what it is for, as in --help."""
    group = typer.main.get_command(app)
    lines = COMMANDS.strip().splitlines()
    for verb in app.registered_commands:
        assert verb.callback is not None
        name = verb.name or verb.callback.__name__
        options = [Option.of(each, verb.callback) for each in group.commands[name].params]
        usage = " ".join(["foldwise", name, *(option.word for option in options)])
        lines += ["", f"## foldwise {name}", "", "```text", usage, "```", ""]
        lines += [*(inspect.getdoc(verb.callback) or "").splitlines(), ""]
        lines += ["| Option | Value | Default | Meaning |", "|---|---|---|---|"]
        lines += [option.row for option in options]
    return lines


@dataclass(frozen=True)
class Option:
    """An argument or an option of a verb: its names, what it takes, and what Typer knows of it."""

    names: tuple[str, ...]
    value: str
    info: "typer.core.TyperOption | typer.core.TyperArgument"

    @classmethod
    def of(
        cls, info: "typer.core.TyperOption | typer.core.TyperArgument", verb: Callable[..., object]
    ) -> "Option":
        """An option of a verb; what it takes is in the verb's annotations."""
        hint = get_type_hints(verb)[str(info.name)]
        inner = {*get_args(hint)} - {type(None)} or {hint}
        while any(map(get_args, inner)):
            inner = {part for each in inner for part in get_args(each) or (each,)} - {type(None)}
        value = " or ".join(sorted(VALUES[part] for part in inner))
        option = any(name.startswith("-") for name in info.opts)
        return cls(tuple(info.opts if option else [str(info.name).upper()]), value, info)

    @property
    def flag(self) -> bool:
        """True where it takes no value."""
        return self.value == ""

    @property
    def several(self) -> bool:
        """True where it may be given several times."""
        return self.info.multiple or self.info.nargs < 0

    @property
    def word(self) -> str:
        """How it stands in the line that shows the verb's use."""
        value = f" {self.value.upper()}" if self.names[0].startswith("-") and self.value else ""
        word = self.names[0] + value + ("..." if self.several else "")
        return word if self.info.required else f"[{word}]"

    @property
    def row(self) -> str:
        """Its row in a table of options."""
        default = self.info.default
        plain = isinstance(default, str | int | float) and not isinstance(default, bool)
        shown = "required" if self.info.required else code(str(default)) if plain else ""
        text = " ".join((self.info.help or "").split()).replace("|", "\\|")
        value = self.value + (", several times" if self.several else "")
        return f"| {', '.join(map(code, self.names))} | {value} | {shown} | {text} |"


def pages() -> dict[str, str]:
    """The text of every page by its file's name."""
    made: dict[str, Callable[[], list[str]]] = {
        "competition.md": competition_page,
        "recipe.md": recipe_page,
        "commands.md": commands_page,
    }
    texts = {name: make() for name, make in made.items()}
    texts |= {f"{choice.page}.md": choice_page(choice) for choice in CHOICES}
    return {
        name: "\n".join([lines[0], "", NOTE, *lines[1:]]) + "\n" for name, lines in texts.items()
    }


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.md"):
        old.unlink()
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
