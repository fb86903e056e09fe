"""`python -m foldwise`, the same as the `foldwise` command."""

from foldwise.cli import main

if __name__ == "__main__":
    main()
