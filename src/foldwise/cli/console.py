"""What all verbs share: the app, its consoles, common options, errors, printing."""

import codecs
import json
import logging
import signal
import sys
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec

import typer
from rich.console import Console, RenderableType
from rich.markup import escape

import foldwise
from foldwise.cli import printing
from foldwise.errors import FoldwiseError, Interrupted, terminate
from foldwise.store.files import disk_error
from foldwise.workspace import Workspace

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="From a competition's raw CSVs to a validated, locally scored, uploaded submission.",
)
P = ParamSpec("P")
START, TRAIN, SUBMIT, LOOK = "Start", "Train", "Submit", "Look"  # what verbs are for, in --help
# what stands for characters that an encoding lacks
ASCII = {"±": "+-", "…": "...", "→": "->", "✓": "+", "✗": "x"}
# of libraries' log records that no user can act on: torch's without a GPU, W&B's of image tables
UNSHOWN = ("No CUDA runtime is found", "Images sizes do not match")
PIPE_WIDTH = 200  # columns where the output goes to a file or a pipe
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def complete_names(context: typer.Context, incomplete: str) -> list[str]:
    """Competitions whose names begin so, for a shell's completion; none outside a workspace."""
    try:
        names = Workspace.find(context.params.get("root")).names()
    except FoldwiseError:
        return []
    return [name for name in names if name.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        help="A competition: the name of a folder in competitions/.",
        autocompletion=complete_names,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Root = Annotated[
    Path | None,
    typer.Option(
        help="The folder that contains competitions/ (default: searched upwards from here)."
    ),
]
Recipes = Annotated[
    list[str] | None, typer.Option("--recipe", help="A recipe by name; may be repeated.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a recipe's setting, e.g. --set stage.0.epochs=3."),
]
NoTrack = Annotated[
    bool,
    typer.Option(
        "--no-track", help="Do not log to W&B (default: online with a key, else offline)."
    ),
]


class LineHandler(logging.Handler):
    """Log records as plain lines on stderr, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; warnings are marked."""
        if not _is_shown(record):
            return
        mark = "[yellow]warning[/] " if record.levelno >= logging.WARNING else ""
        err.print(mark + escape(self.format(record)))


def _is_shown(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(text in message for text in UNSHOWN)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"foldwise {foldwise.__version__}")
        raise typer.Exit


@app.callback()
def _take_common_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options that stand before a verb."""


def verb(purpose: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Register a function as a verb: it logs to stderr, a user's mistake is one line and exit 1.

    purpose: the panel of --help in which it stands.
    """

    def register(function: Callable[P, None]) -> Callable[P, None]:
        name = function.__name__.rstrip("_")
        return app.command(name, rich_help_panel=purpose)(_run_as_verb(function))

    return register


def _run_as_verb(function: Callable[P, None]) -> Callable[P, None]:
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[LineHandler()])
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        logging.getLogger("torch.utils.cpp_extension").addFilter(_is_shown)  # it has own handlers
        logging.getLogger("foldwise").setLevel(logging.INFO)
        with _terminable():
            try:
                function(*args, **kwargs)
            except KeyboardInterrupt as stop:
                err.print("stopped; what was finished is kept, and the same command goes on")
                raise typer.Exit(128 + getattr(stop, "number", signal.SIGINT)) from None
            except Interrupted as stop:
                err.print(escape(str(stop)))
                raise typer.Exit(128 + stop.number) from None
            except FoldwiseError as error:
                _fail(error)
            except OSError as error:
                if (told := disk_error(error)) is None:
                    raise
                _fail(told)

    return run


def _fail(error: FoldwiseError) -> NoReturn:
    err.print(f"[bold red]error[/] {escape(' '.join(str(error).split()))}")
    raise typer.Exit(1) from None


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM stops a verb as Ctrl-C does, unless it is to be ignored."""
    before = signal.getsignal(signal.SIGTERM)
    main = threading.current_thread() is threading.main_thread()
    if not main or before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def use_plain_characters() -> None:
    """Have standard output and error take all text: what their encoding lacks is put plainly."""
    codecs.register_error("foldwise", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="foldwise")


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks, as codecs asks for it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(ASCII.get(one) or _visible(one) for one in lacking), error.end


def _visible(one: str) -> str:
    """A line that a character draws; of others the escape."""
    name = unicodedata.name(one, "")
    if not name.startswith("BOX DRAWINGS"):
        return one.encode("ascii", "backslashreplace").decode()
    return "-" if name.endswith("HORIZONTAL") else "|" if name.endswith("VERTICAL") else "+"


def say(lines: Sequence[RenderableType]) -> None:
    """Print lines of markup, and tables."""
    for line in lines:
        out.print(line)


def tell(document: object, as_json: bool, lines: Sequence[RenderableType]) -> None:
    """Print a document as JSON, or the lines that say it."""
    if as_json:
        text = json.dumps(document, indent=2, ensure_ascii=False)
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:  # JSON has escapes of its own
            text = json.dumps(document, indent=2)
        print(text, flush=True)
    else:
        say(lines)


def show(rows: Sequence[Mapping[str, object]], as_json: bool, columns: list[str]) -> None:
    """Print rows as a table of some columns, or all of them as JSON."""
    nothing = "nothing yet: `foldwise submit digits` makes a first submission"
    tell(rows, as_json, [printing.as_table(rows, columns) if rows else nothing])
