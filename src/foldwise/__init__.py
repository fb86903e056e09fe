"""foldwise: from a competition's raw CSVs to a validated, locally scored, uploaded submission."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Competition", "Recipe", "__version__"]


def __getattr__(name: str) -> Any:
    """Competition or Recipe, imported at first use so that `import foldwise` stays instant."""
    if name in ("Competition", "Recipe"):
        from foldwise import api

        return getattr(api, name)
    raise AttributeError(f"module 'foldwise' has no attribute {name!r}")
