"""Templates of image paths: text with columns in it, as `{site}/{id}.jpg`."""

from collections.abc import Mapping, Sequence
from string import Formatter

from foldwise.kinds.bounds import short

PADDED_WIDTH = 100  # characters that a column is padded to


def columns_of(template: str) -> list[str]:
    """The columns that a template names, in order; one may stand there twice.

    A column may be padded (`{id:0>5}`); nothing else of Python's formats is meant for file names.
    Raises: ValueError: it is no template, names no column, or asks for more than padding.
    """
    try:
        fields = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
        if not fields or not all(name for name, _, _ in fields):
            raise ValueError("it must hold a column, as '{id}.jpg'")
        for _, spec, conversion in fields:
            widths = "".join(c if c.isdecimal() else " " for c in spec or "").split()
            if conversion or any(int(width[:4]) > PADDED_WIDTH for width in widths):
                raise ValueError(f"a column is padded as '{{id:0>5}}', to at most {PADDED_WIDTH}")
            format("", spec or "")
    except ValueError as error:
        raise ValueError(f"{short(template)} is no template: {error}") from None
    return [str(name) for name, _, _ in fields]


def fill(template: str, cells: Mapping[str, Sequence[str]], count: int) -> list[str]:
    """The text of each of `count` rows. cells: by column, one for each row.

    Columns are looked up by their whole name: `{a.b}` is the column `a.b`.
    """
    texts = [""] * count
    for literal, name, spec, _ in Formatter().parse(template):
        if name is None:
            texts = [text + literal for text in texts]
        else:
            columns = zip(texts, cells[name], strict=True)
            texts = [text + literal + format(cell, spec or "") for text, cell in columns]
    return texts
