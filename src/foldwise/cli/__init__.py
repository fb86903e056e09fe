"""The `foldwise` command: parse, call one function, print."""

import signal
import sys

# their order is that of --help
# isort: off
from foldwise.cli import preparing, training, submitting, predicting, reporting  # noqa: F401

# isort: on
from foldwise.cli.console import app, err, use_plain_characters

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    use_plain_characters()
    try:
        app()
    except KeyboardInterrupt:  # before the verb began, which says more
        err.print("stopped")
        sys.exit(128 + signal.SIGINT)
