"""Which local score can be believed? Site-grouped against random folds, on generated photos.

Trains the same recipe on both schemes of the wildlife competition, on photos whose background
belongs to the camera's site (wildlife_photos.py) and whose test set has other sites, as the real
one has. The honest scheme is the one whose interval holds the score on the test set.

    python benchmarks/site_leak.py [--csvs FOLDER] [--rows 3000] [--test-rows 1500]

Prints a line per scheme and appends a row per scheme to benchmarks/results/site_leak.csv.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import pandas as pd

import wildlife_photos
from foldwise.commands.planning import Selection
from foldwise.commands.train import train
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.ensembling.blend import blend_runs
from foldwise.kinds.blending import BLENDINGS
from foldwise.metrics.scoring import score
from foldwise.store.ledger import now
from foldwise.workspace import Workspace
from provenance import append, provenance

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "site_leak.csv"
RECIPE = """
model = "resnet10t"
weights = "none"
image_size = [48, 84]
presize = [64, 112]
batch_size = 32

[augment]
hflip = true
zoom = [1.0, 1.2]

[[stage]]
epochs = 8
lr = 3e-3
"""


def main() -> None:
    """Generate, train both schemes, print and record."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--csvs", type=Path, help="the competition's real CSVs; else invented ones")
    words.add_argument("--rows", type=int, default=3000)
    words.add_argument("--test-rows", type=int, default=1500)
    words.add_argument("--seed", type=int, default=0)
    options = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="foldwise-leak-") as folder:
        workspace = make_workspace(Path(folder), options)
        rows = [measure(workspace, scheme) for scheme in ("default", "random")]
    RESULTS.parent.mkdir(exist_ok=True)
    for row in rows:
        append(RESULTS, row)


def make_workspace(folder: Path, options: argparse.Namespace) -> Workspace:
    """The wildlife competition with a small recipe and generated photos."""
    shutil.copytree(ROOT / "competitions" / "wildlife", folder / "competitions" / "wildlife")
    (folder / "competitions" / "wildlife" / "recipes" / "small.toml").write_text(RECIPE)
    workspace = Workspace(folder, folder / "data", folder / "runs")
    sizes = {"train_rows": options.rows, "test_rows": options.test_rows}
    tables = (
        wildlife_photos.read_tables(options.csvs, options.seed, **sizes)
        if options.csvs
        else wildlife_photos.make_tables(options.seed, **sizes)
    )
    drawn = wildlife_photos.write_photos(tables, workspace.data / "wildlife", options.seed)
    print(f"{drawn} photos", flush=True)
    return workspace


def measure(workspace: Workspace, scheme: str) -> dict[str, object]:
    """Train all folds of a scheme; its OOF score with interval beside the test score."""
    data = load_data(workspace, "wildlife")
    begun = time.perf_counter()
    runs = train(open_competition(workspace, "wildlife"), Selection(("small",), scheme=scheme))
    seconds = time.perf_counter() - begun
    blend = blend_runs(workspace.runs / "wildlife", data, runs, BLENDINGS.parse("mean"))
    truth = pd.read_csv(workspace.data / "wildlife" / "truth.csv", dtype={"id": str})
    labels = truth[list(data.classes)].idxmax(axis=1)
    truth["label"] = pd.Categorical(labels, categories=list(data.classes))
    groups = data.test.frame[["id", "group"]]
    truth = truth[["id", "label"]].merge(groups, on="id", validate="one_to_one")
    test = score(data.spec.metric, truth, blend.test())
    single = [
        score(data.spec.metric, truth, frame, interval=False).value
        for frame in runs[0].test(truth["id"])
    ]
    oof = blend.score
    assert oof.low is not None
    assert oof.high is not None
    holds = oof.low <= test.value <= oof.high
    kind = data.spec.folds[scheme].kind
    print(
        f"{kind:17} OOF {oof.value:.4f} [{oof.low:.4f}, {oof.high:.4f}]  test {test.value:.4f} "
        f"({'inside' if holds else 'outside'})  single models on test "
        f"{min(single):.4f} to {max(single):.4f}  {seconds:.0f} s",
        flush=True,
    )
    made_with = provenance()
    return {
        "time": now(),
        "scheme": kind,
        "rows": len(data.train),
        "test_rows": len(data.test),
        "oof": round(oof.value, 5),
        "low": round(oof.low, 5),
        "high": round(oof.high, 5),
        "test": round(test.value, 5),
        "inside": holds,
        "single_models": round(sum(single) / len(single), 5),
        "seconds": round(seconds),
        **{key: made_with[key] for key in ("commit", "diff_sha256", "torch", "cpus")},
        "precision": runs[0].record.resolved["precision"],
        "device": runs[0].record.resolved["device"],
    }


if __name__ == "__main__":
    main()
