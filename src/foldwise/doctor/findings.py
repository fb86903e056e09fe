"""Findings: what check has to say."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foldwise.store.files import read_json, write_json
from foldwise.workspace import FINDINGS


@dataclass
class Findings:
    """What `check` found: `errors` stop a run, `warnings` want a look, `facts` were understood."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True where nothing stops a run."""
        return not self.errors

    def document(self) -> dict[str, Any]:
        """The findings as one JSON document: `ok, errors, warnings, facts`."""
        return {"ok": self.ok, **asdict(self)}

    def save(self, home: Path, by: str) -> None:
        """Keep them for reports, in a competition's data folder, under who looked.

        by: `check`, which looks at every image, or `submit`, which does not. Folds are left out:
        whether they are saved yet is a fact of the moment.
        """
        path = home / FINDINGS
        if not home.is_dir():  # nothing has been downloaded
            return
        known = read_json(path) if path.is_file() else {}
        facts = {key: value for key, value in self.facts.items() if key != "folds"}
        found = {**self.document(), "facts": facts}
        if known.get(by) != found:
            write_json(path, {**known, by: found})
