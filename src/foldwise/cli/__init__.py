"""The `foldwise` command: parse, call one function, print."""

from foldwise.cli import preparing, training, submitting  # noqa: F401, I001  their order is that of --help
from foldwise.cli.console import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    app()
