"""Workspace: where competitions, data, runs and submissions lie."""

import os
from dataclasses import dataclass
from pathlib import Path

from foldwise.errors import SpecError, nearest


@dataclass(frozen=True)
class Workspace:
    """The folders of one checkout; `data` and `runs` can be put elsewhere."""

    root: Path
    data: Path
    runs: Path

    @classmethod
    def find(cls, root: str | Path | None = None) -> "Workspace":
        """The workspace at root, or the nearest one at or above the current folder.

        A workspace is a folder that holds `competitions/`. The environment variables
        FOLDWISE_DATA and FOLDWISE_RUNS put `data/` and `runs/` elsewhere.

        Raises: SpecError: no folder here or above holds `competitions/`.
        """
        start = Path(root or os.environ.get("FOLDWISE_ROOT") or Path.cwd()).resolve()
        explicit = bool(root or os.environ.get("FOLDWISE_ROOT"))
        for folder in (start,) if explicit else (start, *start.parents):
            if (folder / "competitions").is_dir():
                return cls(
                    root=folder,
                    data=Path(os.environ.get("FOLDWISE_DATA") or folder / "data").resolve(),
                    runs=Path(os.environ.get("FOLDWISE_RUNS") or folder / "runs").resolve(),
                )
        raise SpecError(
            f"expected a folder with competitions/ in it at {start} or above, found none; "
            "change into your clone of foldwise, or name it with --root"
        )

    @property
    def competitions(self) -> Path:
        """The folder with one folder per competition."""
        return self.root / "competitions"

    def names(self) -> list[str]:
        """The names of all competitions, sorted."""
        return sorted(p.parent.name for p in self.competitions.glob("*/competition.toml"))

    def competition(self, name: str) -> Path:
        """The folder of a competition. Raises: SpecError: no competition has this name."""
        if name not in self.names():
            raise SpecError(f"no competition is called {name!r}{nearest(name, self.names())}")
        return self.competitions / name

    def raw(self, name: str) -> Path:
        """The raw files as the platform ships them; read-only once they are there."""
        return self.data / name / "raw"

    def submissions(self, name: str, practice: bool) -> Path:
        """Where submissions, manifests and the ledger lie: a practice competition's are data."""
        return self.data / name / "submissions" if practice else self.root / "submissions" / name
