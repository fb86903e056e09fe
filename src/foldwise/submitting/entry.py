"""An entry to a leaderboard: file, manifest and ledger lines, from a blend to a receipt."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise.data.competition import CompetitionData
from foldwise.scoring.blend import Blend
from foldwise.scoring.metrics import Score, score
from foldwise.storage import sha256_file, sha256_json, write_json
from foldwise.submitting import ledger, manifest
from foldwise.submitting.platforms import Parcel, Receipt, by_hand, local
from foldwise.submitting.submission import read_submission, write_submission
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)

LEDGER = "ledger.jsonl"
SENDERS: dict[str, Callable[[Parcel], Receipt]] = {
    "local": local.send,
    "kaggle": by_hand.send_kaggle,
    "drivendata": by_hand.send_drivendata,
}


@dataclass(frozen=True)
class Entry:
    """A validated and scored submission file; `receipt` once the platform has it."""

    file: Path
    sha256: str
    score: Score  # of the blend's OOF, through the same writer
    member_scores: dict[str, Score]
    receipt: Receipt | None = None


def write_entry(workspace: Workspace, data: CompetitionData, blend: Blend) -> Entry:
    """Write, read back, validate and score the blend's submission, with manifest and ledger line.

    The same bytes are not written twice: an earlier file with them is the entry then.
    Raises: SubmissionError: the file breaks a rule; nothing is kept of it.
    """
    folder = workspace.submissions(data.spec.name, data.spec.practice)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as temporary:
        candidate = Path(temporary) / "submission.csv"
        write_submission(candidate, blend.test(), data.format)
        read_submission(candidate, data.format)
        digest = sha256_file(candidate)
        own = score_through_file(data, blend.oof(), Path(temporary) / "oof.csv")
        earlier = ledger.find_bytes(folder / LEDGER, digest)
        if earlier and (folder / earlier["file"]).is_file():
            log.info("%s: written already with these bytes; skipped", earlier["file"])
            return Entry(folder / earlier["file"], digest, own, blend.member_scores)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        file = folder / (earlier["file"] if earlier else f"{stamp}-{blend.folder.name}.csv")
        write_json(file.with_suffix(".json"), _manifest(workspace, data, blend, own, digest))
        if not earlier:  # before the file itself: a crash in between leaves a line, which is found
            ledger.append(folder / LEDGER, "written", file.name, competition=data.spec.name,
                          sha256=digest, local=round(own.value, 6))  # fmt: skip
        candidate.rename(file)
    return Entry(file, digest, own, blend.member_scores)


def send_entry(workspace: Workspace, data: CompetitionData, entry: Entry) -> Entry:
    """Send the file to its platform, unless it is there already; enter the outcome.

    Raises: PlatformError: the platform refused.
    """
    book = entry.file.parent / LEDGER
    known = ledger.find_bytes(book, entry.sha256) or {}
    if known.get("state") == "scored":
        log.info("%s: submitted already; nothing is sent twice", entry.file.name)
        outcome = {key: known[key] for key in ("public", "private", "rank", "teams")}
        message = f"place {known['rank']} of {known['teams']}" if known["rank"] else "scored"
        return replace(entry, receipt=Receipt("scored", message, **outcome))
    receipt = SENDERS[data.spec.platform](_parcel(workspace, data, entry))
    if known.get("state") != receipt.state:
        outcome = {k: v for k, v in asdict(receipt).items() if k not in ("state", "message")}
        ledger.append(book, receipt.state, entry.file.name, **outcome)
    return replace(entry, receipt=receipt)


def score_through_file(data: CompetitionData, oof: pd.DataFrame, path: Path) -> Score:
    """The metric of OOF predictions that were written and read back as a submission is."""
    shape = data.format.for_ids(list(oof["id"]))
    write_submission(path, oof, shape)
    return score(
        data.spec.metric, data.train.frame, read_submission(path, shape), data.hooks.get("score")
    )


def _parcel(workspace: Workspace, data: CompetitionData, entry: Entry) -> Parcel:
    def grade(truth: pd.DataFrame, predictions: pd.DataFrame) -> float:
        hook = data.hooks.get("score")
        return score(data.spec.metric, truth, predictions, hook, interval=False).value

    return Parcel(data.spec, entry.file, data.format, grade, workspace.data / data.spec.name)


def _manifest(
    workspace: Workspace, data: CompetitionData, blend: Blend, own: Score, digest: str
) -> dict[str, Any]:
    """What the file was made of; see docs/architecture.md."""
    return {
        "competition": data.spec.name,
        "created": ledger.now(),
        "sha256": digest,
        "local": asdict(own),
        "metric": data.spec.metric.model_dump(mode="json"),
        "data": data.counts,
        "blend": {"directory": blend.folder.name, **blend.made_of()},
        "runs": [
            {
                "run": run.name,
                "identity": run.record["identity"],
                "recipe": run.recipe.model_dump(mode="json"),
                "recipe_sha256": sha256_json(run.recipe.identity()),
                "seed": run.seed,
                "resolved": run.record["resolved"],
                "local": asdict(blend.member_scores[run.name]),
            }
            for run in blend.members
        ],
        "folds": {"scheme": blend.members[0].folds.name, "sha256": blend.members[0].folds.sha256},
        "spec_sha256": sha256_json(data.spec.model_dump(mode="json")),
        "code": manifest.code(workspace.root),
        "versions": manifest.versions(),
        "machine": manifest.machine(),
    }
