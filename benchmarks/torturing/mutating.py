"""Malformed bytes, TOML and CSVs, made from valid ones by drawn mutations and nasty values."""

import csv
import io
import random
import string
import tomllib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

NUMBERS = [
    "0",
    "-1",
    "-0.0",
    "1",
    "2",
    "3.5",
    "1e-320",
    "1e308",
    "-1e308",
    "inf",
    "-inf",
    "nan",
    "100000000",
    "2147483648",
    "9223372036854775808",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "0x7fffffffffffffff",
    "1_000_000_000_000",
]
WORDS = [
    "",
    " ",
    "a" * 300,
    "a" * 100_000,
    "nan",
    "None",
    "null",
    "true",
    "0",
    "-1",
    "1.0",
    "1e5",
    "1.2E+17",
    "inf",
    "id",
    "label",
    "path",
    "group",
    "fold",
    "auto",
    "none",
    "all",
    "*",
    ".",
    "..",
    "../../../../etc/passwd",
    "/etc/passwd",
    "/",
    "a/../../b",
    "C:\\x",
    "a\\b",
    "~",
    "-",
    "--help",
    "\x00",
    "\n",
    "\r",
    "\t",
    "a\nb",
    "\u2028",
    "\ufeff",
    "\u202e",
    "cafe\u0301",
    "caf\u00e9",
    "\U0001f993",
    "\ud800",
    "{",
    "}",
    "{}",
    "{0}",
    "{id}",
    "{id",
    "{id!r}",
    "{id:>1000000000}",
    "{id.__class__}",
    "{id[0]}",
    "{nothing}",
    "{id:{id}}",
    "{{id}}",
    "%s",
    "%(id)s",
    "$HOME",
    "=1+1",
    "'",
    '"',
    '""',
    ",",
    ";",
    "[",
    "(",
    "(a+)+$",
    "(?P<id>",
    "\\",
    "1h",
    "0m",
    "-5m",
    "1e9h",
    "999999999h",
    "30m30m",
    "[red]x[/]",
    "[/]",
    "<b>",
    "con",
    "nul.txt",
    "2026-13-45",
    "9" * 4301,
    "digits",
    "tiny",
    "linear",
    "prior",
    "resnet18",
    "test_resnet.r160_in1k",
    "hf-hub:a/b",
    "local-dir:/",
    "SELECT 1",
    "a" * 255 + ".png",
]
RAW = [
    "[]",
    "[[]]",
    "[0]",
    '[""]',
    "[1, 1]",
    "[nan, inf]",
    '["a", "a"]',
    "{}",
    "{a = 1}",
    "true",
    "false",
    "2026-11-30",
    "2026-11-30T00:00:00Z",
    "07:32:00",
    "[" * 90 + "]" * 90,
    "[" * 3000 + "]" * 3000,
    "{a = " * 50 + "1" + "}" * 50,
    "'''x'''",
    "[{}]",
    "[true]",
    "[1.0, -1.0]",
    "[0.0, 0.0]",
    "[1e300, 1e300]",
    "[3, 3]",
]


class Raw(str):
    """A value as it stands in the TOML file."""


def mutated(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """The bytes after one to four drawn mutations; other: bytes to splice in."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(BYTES)(data, rng, other or data)
    return data


def _flip(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A few bits turned, half of the times near the start, where headers are."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 16))):
        if changed:
            reach = len(changed) if rng.random() < 0.5 else min(len(changed), 96)
            changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The start alone; or without a piece in the middle."""
    start = rng.randrange(len(data) + 1)
    if rng.random() < 0.6:
        return data[:start]
    return data[:start] + data[start + rng.randrange(1, 200) :]


def _splice(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The start of one, the end of the other."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _repeat(data: bytes, rng: random.Random, other: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.randrange(1, 300)]
    return data[:start] + piece * rng.choice((2, 2, 50)) + data[start:]


def _insert(data: bytes, rng: random.Random, other: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    piece = rng.choice(
        (
            b"\x00",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"\r\n",
            b"\xc3",
            b"\xed\xa0\x80",
            b'"',
            b"\x1a",
            rng.randbytes(8),
            b"\x00" * 512,
        )
    )
    return data[:start] + piece + data[start:]


def _number(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Four bytes near the start that say an odd number: sizes, offsets and counts lie there."""
    start = rng.randrange(min(len(data), 300) + 1)
    size = rng.choice((1, 2, 4, 4, 8))
    value = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**16 - 1, 178_956_970, 2**63, 2**20))
    piece = (value % 256**size).to_bytes(size, rng.choice(("little", "big")))
    return data[:start] + piece + data[start + size :]


BYTES: Sequence[Callable[[bytes, random.Random, bytes], bytes]] = (
    _flip,
    _flip,
    _cut,
    _cut,
    _splice,
    _repeat,
    _insert,
    _number,
    _number,
)


def nasty(rng: random.Random) -> str:
    """A nasty value as TOML would hold it."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(NUMBERS)
    return rng.choice(RAW) if kind < 0.55 else quoted(rng.choice(WORDS))


def quoted(text: str) -> str:
    """A TOML string; what TOML cannot hold stays as it is, for that is malformed too."""
    names = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\x00": "\\u0000"}
    return '"' + "".join(names.get(letter, letter) for letter in text) + '"'


def toml(text: str, keys: Sequence[str], rng: random.Random) -> bytes:
    """A TOML document with drawn faults: values, keys and tables, or its bytes.

    keys: dotted names to set; a number in them counts tables of an array.
    """
    if rng.random() < 0.2:
        return mutated(text.encode(), rng)
    document = tomllib.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _one_fault(document, keys, rng)
    written = "".join(_tables(document, ""))
    if rng.random() < 0.05:
        return rng.choice(codecs_of(written))
    return written.encode("utf-8", "surrogatepass")


def codecs_of(text: str) -> list[bytes]:
    """The text with a byte-order mark, in other encodings, with other line ends."""
    return [
        b"\xef\xbb\xbf" + text.encode("utf-8", "surrogatepass"),
        text.encode("utf-16", "surrogatepass"),
        text.encode("cp1252", "replace"),
        text.replace("\n", "\r").encode("utf-8", "surrogatepass"),
        text.replace("\n", "\r\n").encode("utf-8", "surrogatepass"),
    ]


def _one_fault(document: dict[str, Any], keys: Sequence[str], rng: random.Random) -> None:
    """Set, remove, rename or repeat something drawn."""
    *parents, key = rng.choice(keys).split(".")
    place: Any = document
    for parent in parents:
        if isinstance(place, list):
            place = place[int(parent)] if int(parent) < len(place) else {}
        elif isinstance(place, dict):
            place = place.setdefault(parent, {})
    if not isinstance(place, dict):
        return
    kind = rng.random()
    if kind < 0.75:
        place[key] = Raw(nasty(rng))
    elif kind < 0.85:
        place.pop(key, None)
    elif kind < 0.92:
        place[rng.choice((quoted(rng.choice(WORDS)), key + "s", "x" * 70_000))] = Raw(nasty(rng))
    elif parents and isinstance(document.get(parents[0]), list):
        document[parents[0]] = document[parents[0]] * rng.choice((2, 300))
    else:
        document[key] = Raw(nasty(rng))


def _tables(table: dict[str, Any], path: str) -> Iterable[str]:
    """The lines of a table: its values first, then the tables in it."""
    inner = {}
    for key, value in table.items():
        if isinstance(value, dict) or (
            isinstance(value, list) and value and isinstance(value[0], dict)
        ):
            inner[key] = value
        else:
            yield f"{_key(key)} = {_value(value)}\n"
    for key, value in inner.items():
        name = f"{path}.{_key(key)}".lstrip(".")
        for each in value if isinstance(value, list) else [value]:
            yield f"\n[[{name}]]\n" if isinstance(value, list) else f"\n[{name}]\n"
            yield from _tables(each, name)


def _key(key: str) -> str:
    plain = key.startswith('"') or (key and set(key) <= {*string.ascii_letters, *"0123456789_-"})
    return key if plain else quoted(key)


def _value(value: Any) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return quoted(value) if isinstance(value, str) else repr(value)


def table(data: bytes, rng: random.Random) -> bytes:
    """A CSV with drawn faults in its cells, rows, columns, separators, encoding or bytes."""
    if rng.random() < 0.15:
        return mutated(data, rng)
    rows = [*csv.reader(io.StringIO(data.decode()))]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(TABLES)(rows, rng)
    text = io.StringIO()
    separator = rng.choice(",,,,,,;\t|")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    written = text.getvalue()
    if rng.random() < 0.1:
        return rng.choice(codecs_of(written))
    return written.encode("utf-8", "surrogatepass")


Rows = list[list[str]]


def _cell(rows: Rows, rng: random.Random) -> None:
    row = rng.choice(rows) if rows else []
    if row:
        row[rng.randrange(len(row))] = rng.choice([*WORDS, *NUMBERS])


def _head(rows: Rows, rng: random.Random) -> None:
    """Another name for a column: nasty, another column's, with a space."""
    if rows and rows[0]:
        head, at = rows[0], rng.randrange(len(rows[0]))
        head[at] = rng.choice(
            (
                rng.choice(WORDS),
                rng.choice(head),
                f" {head[at]}",
                head[at].upper(),
                f"{head[at]}.1",
                "",
            )
        )


def _column(rows: Rows, rng: random.Random) -> None:
    """A column repeated, removed, filled with one value, made into floats, or new."""
    width = len(rows[0]) if rows else 0
    at, kind, value = rng.randrange(width + 1), rng.randrange(5), rng.choice([*WORDS, *NUMBERS])
    for number, row in enumerate(rows):
        if at < len(row):
            if kind == 0:
                row.append(row[at])
            elif kind == 1:
                del row[at]
            elif kind == 2 and number:
                row[at] = value
            elif kind == 3 and number:
                row[at] += ".0"
            elif kind == 4:
                row.insert(at, str(number) if number else "")


def _row(rows: Rows, rng: random.Random) -> None:
    """A row repeated, removed, shortened, lengthened; no rows, or very many."""
    if not rows:
        return
    at, kind = rng.randrange(len(rows)), rng.randrange(7)
    if kind == 0:
        rows.append([*rows[at]])
    elif kind == 1:
        del rows[at]
    elif kind == 2:
        del rows[at][-1:]
    elif kind == 3:
        rows[at].append(rng.choice(WORDS))
    elif kind == 4:
        del rows[1:]
    elif kind == 5:
        rows.insert(at, [])
    else:
        rows += [[*rows[at]] for _ in range(2000)]


def _order(rows: Rows, rng: random.Random) -> None:
    head, body = rows[:1], rows[1:]
    rng.shuffle(body)
    rows[:] = head + body if rng.random() < 0.7 else body


TABLES: Sequence[Callable[[Rows, random.Random], None]] = (
    _cell,
    _cell,
    _head,
    _head,
    _column,
    _row,
    _order,
)
