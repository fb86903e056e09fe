"""Stratified folds of whole units, for one or many labels: they differ by seed, stay balanced."""

import numpy as np

from foldwise.arrays import Array

STARTS = 8  # random starts; the best balanced one is kept
TIE_BREAK = 1e-3  # weight of the folds' sizes beside their classes
PASSES = 20  # sweeps over all groups per start at most


def balanced_groups(hot: Array, groups: Array, n: int, seed: int) -> Array:
    """The fold of each row, int64 (n_rows,): whole groups, classes spread as evenly as possible.

    hot: 1 where a row has a class, (n_rows, C). groups: (n_rows,).

    scikit-learn's StratifiedGroupKFold sorts the groups before it deals them out, so its seeds
    hardly matter. Here groups are dealt out in a random order that favours large ones, each to
    the fold where it unbalances least, then single groups are moved and pairs exchanged while that
    helps. The best of a few starts is kept. The measure is scikit-learn's own (1.9, read
    2026-11-22): the mean over classes of the standard deviation over folds of the class's share.
    """
    names, group_of = np.unique(groups.astype(str), return_inverse=True)
    counts = np.zeros((len(names), hot.shape[1]))
    np.add.at(counts, group_of, hot.astype(np.float64))
    counts = counts[:, counts.sum(axis=0) > 0]
    shares = counts / counts.sum(axis=0)  # (groups, C): share of each class that a group holds
    rows = np.bincount(group_of)[:, None] / len(group_of)
    shares = np.hstack([shares, TIE_BREAK * rows])  # equal cost: the fold with fewer rows
    rng = np.random.default_rng(seed)
    starts = STARTS if len(names) <= 5000 else 1
    results = [_one_start(shares, n, rng) for _ in range(starts)]
    best = min(results, key=lambda folds: imbalance(shares, folds, n))
    return best[group_of]


def deal(hot: Array, units: Array, n: int, seed: int) -> Array:
    """The fold of each row, int64 (n_rows,): whole units (single rows, or copies of an image).

    Iterative stratification (Sechidis et al., On the Stratification of Multi-Label Data, 2011):
    units with the rarest class first, each to the fold that has least of that class, then least
    of its next rarest one, then fewest rows. Time grows with the number of labels alone, so it
    serves thousands of classes.

    hot: 1 where a row has a class, (n_rows, C). units: (n_rows,).
    """
    names, unit_of = np.unique(units, return_inverse=True)
    rows, codes = np.nonzero(hot)
    rarity = np.argsort(np.argsort(hot.sum(axis=0), kind="stable"))  # 0 is the rarest class
    counts: list[dict[int, int]] = [{} for _ in names]  # labels of a unit, by rarity
    for unit, rank in zip(unit_of[rows].tolist(), rarity[codes].tolist(), strict=True):
        counts[unit][rank] = counts[unit].get(rank, 0) + 1
    sizes = np.bincount(unit_of)
    labels = [sorted(held) for held in counts]
    shuffled = np.random.default_rng(seed).permutation(len(names)).tolist()
    unlabelled = [hot.shape[1]]  # after all others
    shuffled.sort(key=lambda unit: ((labels[unit] or unlabelled)[0], -sizes[unit]))
    totals = np.zeros((hot.shape[1], n), dtype=np.int64).tolist()
    rows_in = [0] * n
    fold_of = np.zeros(len(names), dtype=np.int64)
    for unit in shuffled:
        held = [totals[rank] for rank in labels[unit]]
        fold = min(range(n), key=lambda k: ([total[k] for total in held], rows_in[k]))
        fold_of[unit] = fold
        rows_in[fold] += int(sizes[unit])
        for rank, count in counts[unit].items():
            totals[rank][fold] += count
    return fold_of[unit_of]


def imbalance(shares: Array, folds: Array, n: int) -> float:
    """The mean over classes of the standard deviation over folds of the class's share."""
    totals = np.zeros((n, shares.shape[1]))
    np.add.at(totals, folds, shares)
    return float(totals.std(axis=0).mean())


def _one_start(shares: Array, n: int, rng: np.random.Generator) -> Array:
    """The fold of each group, int64 (groups,)."""
    weight = shares.std(axis=1) * rng.lognormal(sigma=0.5, size=len(shares))
    totals = np.zeros((n, shares.shape[1]))
    folds = np.zeros(len(shares), dtype=np.int64)
    for group in np.argsort(-weight):
        folds[group] = int(_costs(totals, shares[group]).argmin())
        totals[folds[group]] += shares[group]
    for _ in range(PASSES if len(shares) <= 5000 else 2):
        if not _sweep(shares, folds, totals, rng):
            break
    return folds


def _costs(totals: Array, share: Array) -> Array:
    """The imbalance (n,) after adding share to each fold in turn."""
    n = len(totals)
    after = totals[None] + np.eye(n)[:, :, None] * share  # (n choices, n folds, C)
    costs: Array = after.std(axis=1).mean(axis=1)
    return costs


def _sweep(shares: Array, folds: Array, totals: Array, rng: np.random.Generator) -> bool:
    """Move or exchange each group where that lowers the imbalance; True if anything changed."""
    changed = False
    sizes = np.bincount(folds, minlength=len(totals))
    for group in rng.permutation(len(shares)):
        old = folds[group]
        before = totals.std(axis=0).mean()
        totals[old] -= shares[group]
        cost = _costs(totals, shares[group])
        new = int(cost.argmin())
        if new != old and sizes[old] > 1 and cost[new] < before - 1e-12:
            sizes[old] -= 1
            sizes[new] += 1
            folds[group] = new
            changed = True
        totals[folds[group]] += shares[group]
        if folds[group] == old:
            changed |= _exchange(group, shares, folds, totals, rng)
    return changed


def _exchange(
    group: int, shares: Array, folds: Array, totals: Array, rng: np.random.Generator
) -> bool:
    """Exchange the group with the best of some random others in other folds, if that helps."""
    others = rng.choice(len(shares), size=min(32, len(shares)), replace=False)
    others = others[folds[others] != folds[group]]
    if not len(others):
        return False
    before = totals.std(axis=0).mean()
    difference = shares[others] - shares[group]  # (m, C): what the group's fold gains
    after = np.repeat(totals[None], len(others), axis=0)  # (m, n, C)
    after[:, folds[group]] += difference
    after[np.arange(len(others)), folds[others]] -= difference
    cost = after.std(axis=1).mean(axis=1)
    best = int(cost.argmin())
    if cost[best] >= before - 1e-12:
        return False
    totals[:] = after[best]
    folds[group], folds[others[best]] = folds[others[best]], folds[group]
    return True
