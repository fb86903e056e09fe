"""The `foldwise` command: parse, call one function, print."""

# their order is that of --help
from foldwise.cli import preparing, training, submitting, predicting, reporting  # noqa: F401, I001
from foldwise.cli.console import app, use_plain_characters

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    use_plain_characters()
    app()
