"""Figures over many boards: of each kind and each set, and the bars that they are held to.

A bar is missed only where the 95 % interval over boards lies outside it.
"""

import numpy as np
import pandas as pd

INSIDE = (0.92, 0.98)  # share of private scores inside the interval; 95 % is right
MEAN, SPREAD = 0.15, (0.85, 1.15)  # of (private - expected) / stated standard error
FACTOR = 1.1  # of a perfect forecaster's median distance
TOLD = (0.85, 1.15)  # told gain of averaging over the real one
WORSE, OFTEN, LOSS = 0.002, 0.1, 0.005  # than the plain mean: by more than; share of boards; mean
MEDIAN = 0.6745  # of the absolute value of a standard normal number
SAMPLES = 2000


def figures(rows: pd.DataFrame) -> dict[str, float]:
    """What some boards give. rows: of `boards.csv`."""
    z, error = rows["z"].to_numpy(), (rows["private"] - rows["expected"]).to_numpy()
    perfect = perfect_errors(rows)
    worse = rows["worse"].to_numpy()  # than the plain mean, as a share; below 0 is better
    bad = worse > WORSE
    relative = np.abs(error) / rows["private"].to_numpy()
    return {
        "boards": len(rows),
        "inside": float(rows["inside"].mean()),
        "mean": float(z.mean()),
        "spread": float(z.std(ddof=1)),
        "distance": float(np.median(np.abs(error)) / (MEDIAN * np.median(perfect))),
        "off": float(np.median(relative)),
        "off_90": float(np.quantile(relative, 0.9)),
        "told": float(rows["told_gain"].sum() / rows["real_gain"].sum()),
        "often": float(bad.mean()),
        "loss": float(worse[bad].mean()) if bad.any() else 0.0,
        "over_mean": float(worse.mean()),
        "over_single": float(rows["than_single"].mean()),
        "over_best": float(rows["than_best"].mean()),
    }


def perfect_errors(rows: pd.DataFrame) -> np.ndarray:
    """The standard error of a forecaster who knows all but the draw of rows, (boards,).

    The variance per row, or group, is that of OOF and of the private part together: where losses
    have a long tail, a part that was lucky underrates it.
    """
    own, board = rows["oof_units"], rows["units"]
    each = own**2 * rows["oof_error"] ** 2 + board**2 * rows["private_error"] ** 2
    return np.sqrt(each / (own + board) * (1 / own + 1 / board)).to_numpy()


def intervals(rows: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """The 95 % interval over boards of each of the figures, by bootstrap; of shares exactly."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(SAMPLES // 4):
        found.append(figures(rows.iloc[rng.integers(0, len(rows), len(rows))]))
    table = pd.DataFrame(found)
    low, high = table.quantile(0.025), table.quantile(0.975)
    shares = {"inside": rows["inside"], "often": rows["worse"] > WORSE}
    return {name: (float(low[name]), float(high[name])) for name in table} | {
        name: _share(int(own.sum()), len(own)) for name, own in shares.items()
    }


def _share(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Clopper and Pearson 1934): a bootstrap of 45 of 45 has none."""
    from scipy.stats import binomtest

    found = binomtest(count, of).proportion_ci()
    return float(found.low), float(found.high)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    """`ok`, or `MISSED` where the interval lies outside the bar, of each bar."""
    found, own = intervals(rows), figures(rows)
    count = len(rows)
    gain_error = np.sqrt((rows["gain_error"] ** 2).sum()) / count

    def within(name: str, low: float, high: float) -> bool:
        return found[name][1] >= low and found[name][0] <= high

    told = abs(rows["told_gain"].mean() - rows["real_gain"].mean()) <= 2 * gain_error
    return {
        name: "ok" if right else "MISSED"
        for name, right in {
            "inside": within("inside", *INSIDE),
            "mean": within("mean", -MEAN, MEAN),
            "spread": within("spread", *SPREAD),
            "distance": found["distance"][0] <= FACTOR,
            "told": told or within("told", *TOLD),
            "often": found["often"][0] <= OFTEN,
            "loss": own["loss"] == 0 or found["loss"][0] <= LOSS,
        }.items()
    }
