"""Blend methods: a stack of members' probabilities (M, n, C) becomes one, (n, C).

Each has a `fit`, which sees a stack's rows and the goal and gives plain data, and an `apply`, which
turns that data and a stack into probabilities.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np

from foldwise.arrays import Array, RowIndex
from foldwise.kinds.blending import BLENDINGS, Blending, Fitted, Stack
from foldwise.kinds.bounds import Count
from foldwise.kinds.goal import Goal, some
from foldwise.kinds.task import TINY, Task

NUMBERS_IN_MEMORY = (
    10_000_000  # numbers that a fit holds at once: 80 MB; of longer stacks it takes some rows
)
EVALUATIONS = 60  # weights: of the metric, per member, where it has no gradient


def _sum(
    stack: Stack, rows: RowIndex, weights: Sequence[float], of: Callable[[Array], Array]
) -> Array:
    """The sum over members of weight * of(probabilities), one member held at a time."""
    used = [m for m in range(len(stack)) if weights[m]] or [0]
    total: Array = weights[used[0]] * of(stack.of(used[0], rows))
    for m in used[1:]:
        total = total + weights[m] * of(stack.of(m, rows))
    return total


def _mean_of(stack: Stack, rows: RowIndex, of: Callable[[Array], Array]) -> Array:
    return _sum(stack, rows, [1.0] * len(stack), of) / len(stack)


def _weights(fitted: Fitted) -> list[float]:
    """The fitted weights of the members."""
    weights: list[float] = np.asarray(fitted["weights"], dtype=np.float64).tolist()
    return weights


def _probability_of_truth(stack: Stack, rows: Array, goal: Goal) -> Array:
    """The probability that each member gave to what was true, (M, rows), or with many labels of
    each cell, (M, rows * C): all that the log loss of a weighted mean depends on."""
    true = goal.targets[rows]
    given = (goal.task.likelihood(true, stack.of(m, rows)) for m in range(len(stack)))
    return np.stack([each.ravel() for each in given])


def _log_loss_of(stack: Stack, rows: Array, goal: Goal) -> Callable[[Array], tuple[float, Array]]:
    """A function of weights (M,) that gives the log loss of the weighted mean, and its gradient."""
    given = _probability_of_truth(stack, rows, goal)
    columns = goal.column_weights
    counts = np.ones(given.shape[1]) if columns is None else np.tile(columns, len(rows))
    counts, clip = counts / counts.sum(), goal.metric.log_clip

    def cost(weights: Array) -> tuple[float, Array]:
        mix = np.clip(weights @ given, clip, 1 - clip)
        return float(-counts @ np.log(mix)), -(given @ (counts / mix))

    return cost


def _cost_of(stack: Stack, rows: Array, goal: Goal) -> Callable[[Array], float]:
    """A function of weights (M,) that gives the cost of the weighted mean."""
    if goal.log_loss:
        log_loss = _log_loss_of(stack, rows, goal)
        return lambda weights: log_loss(weights)[0]
    rows = rows[some(rows, len(stack) * len(goal.task), NUMBERS_IN_MEMORY)]
    held = np.stack([stack.of(m, rows) for m in range(len(stack))])  # (M, rows, C)
    return lambda weights: goal.cost(np.tensordot(weights, held, 1), rows)


def _convex(weights: Array) -> Array:
    """Weights of 0 and more that sum to 1; what is next to nothing becomes nothing."""
    kept = np.where(weights > 1e-6, weights, 0)
    return kept / kept.sum() if kept.any() else np.full(len(kept), 1 / len(kept))


def _climb(cost: Callable[[Array], float], count: int, rounds: int) -> Array:
    """The weights (M,) of the best mean met while climbing."""
    taken, one = np.zeros(count), np.eye(count)
    best, lowest = taken, np.inf
    for step in range(1, rounds + 1):
        costs = [cost((taken + one[m]) / step) for m in range(count)]
        taken = taken + one[np.argmin(costs)]
        if min(costs) < lowest:
            best, lowest = taken / step, min(costs)
    return best


class Mean(Blending):
    """The mean of the members' predictions."""

    method: Literal["mean"] = "mean"

    def apply(self, fitted: Fitted, stack: Stack, rows: RowIndex) -> Array:
        """See `Blending.apply`."""
        return _mean_of(stack, rows, lambda probs: probs)


class GeometricMean(Blending):
    """The geometric mean of the members' probabilities."""

    of_probabilities: ClassVar[bool] = True

    method: Literal["geometric"] = "geometric"

    def apply(self, fitted: Fitted, stack: Stack, rows: RowIndex) -> Array:
        """See `Blending.apply`."""
        return np.exp(_mean_of(stack, rows, lambda probs: np.log(np.clip(probs, TINY, None))))


class Rank(Blending):
    """The mean of the members' ranks of each row, by column, mapped back to probabilities.

    The row of mean rank r gets the r-th smallest number of its column, averaged over the members
    and interpolated. So rows stand in the order of their mean ranks, on the members' scale: rows
    sum to about 1 where the members' do, and folds can be averaged. Ranks are within these rows,
    which one model per member has predicted.
    """

    method: Literal["rank"] = "rank"

    def apply(self, fitted: Fitted, stack: Stack, rows: RowIndex) -> Array:
        """See the class."""
        from scipy.stats import rankdata

        # ranks are halves of whole numbers: sums that are equal stay so
        ranks = _mean_of(stack, rows, lambda probs: rankdata(probs, axis=0))
        levels = _mean_of(stack, rows, lambda probs: np.sort(probs, axis=0))
        places = np.arange(1, len(levels) + 1)
        columns = [np.interp(r, places, level) for r, level in zip(ranks.T, levels.T, strict=True)]
        return np.stack(columns, axis=1)


class WeightedMean(Blending):
    """A weighted mean; what differs is how its weights are found."""

    def apply(self, fitted: Fitted, stack: Stack, rows: RowIndex) -> Array:
        """The mean with the fitted `weights`."""
        return _sum(stack, rows, _weights(fitted), lambda probs: probs)


class Single(WeightedMean):
    """The best member alone."""

    tempers: ClassVar[bool] = False

    method: Literal["single"] = "single"

    def fit(self, stack: Stack, rows: Array, goal: Goal) -> Fitted:
        """`weights`: 1 for the best, 0 for the others."""
        costs = [goal.cost(stack.of(m, rows), rows) for m in range(len(stack))]
        return {"weights": [float(m == np.argmin(costs)) for m in range(len(stack))]}


class Weights(WeightedMean):
    """Convex weights of the members that are best for the metric.

    They are found by gradient for log loss, which is convex in them; else by a search from the
    weights that are best for log loss, or from equal ones.
    """

    method: Literal["weights"] = "weights"

    def fit(self, stack: Stack, rows: Array, goal: Goal) -> Fitted:
        """`weights`, (M,)."""
        from scipy.optimize import minimize

        count = len(stack)
        equal = np.full(count, 1 / count)
        box = [(0, 1)] * count
        simplex = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)}
        weights = equal
        if goal.task.probabilities:
            found = minimize(
                _log_loss_of(stack, rows, goal),
                equal,
                jac=True,
                method="SLSQP",
                bounds=box,
                constraints=simplex,
                options={"ftol": 1e-9},
            )
            weights = _convex(found.x)
        if not goal.log_loss:
            cost = _cost_of(stack, rows, goal)
            start = min((equal, weights), key=cost)
            limits = {"maxfev": EVALUATIONS * count, "xtol": 1e-2, "ftol": 1e-6}
            searched = minimize(
                lambda w: cost(_convex(w)), start, method="Powell", bounds=box, options=limits
            )
            weights = min((start, _convex(searched.x)), key=cost)
        return {"weights": weights.tolist()}


class Climb(WeightedMean):
    """Weights by hill climbing with replacement, averaged over bags.

    Ensemble selection (Caruana et al. 2004, "Ensemble selection from libraries of models", ICML;
    read 2026-11-22): again and again the member is taken, be it once more, whose joining improves
    the mean most; the best of all these means counts. Their bags are of members, of which they have
    thousands; with a few, a bag without the best one helps nobody. Here a bag is half of the rows,
    of each kind of labels every second one in a random order.
    """

    method: Literal["climb"] = "climb"
    bags: Count = 5  # How many bags of rows the weights are averaged over. Example: 10
    rounds: Count = 30  # How many members join in each bag. Example: 50

    def fit(self, stack: Stack, rows: Array, goal: Goal) -> Fitted:
        """`weights`, (M,)."""
        rng, found = np.random.default_rng(0), []
        strata = goal.task.strata(goal.targets)[rows]
        kinds = strata @ rng.random(strata.shape[1])
        for _ in range(self.bags):
            order = rng.permutation(len(rows))
            half = np.sort(order[np.argsort(kinds[order], kind="stable")][::2])
            found.append(_climb(_cost_of(stack, rows[half], goal), len(stack), self.rounds))
        return {"weights": np.mean(found, axis=0).tolist()}


class Stacked(Blending):
    """Logistic regression on the members' log-probabilities: a weight per member, a bias per class.

    One weight for all classes of a member (a logarithmic opinion pool with biases; Genest and
    Zidek 1986, Statistical Science 1(1)): with a weight per member, class and class there would be
    more of them than rows. The penalty is scikit-learn's (C = 1), towards the geometric mean.
    """

    tempers: ClassVar[bool] = False
    of_probabilities: ClassVar[bool] = True

    method: Literal["stack"] = "stack"

    def fit(self, stack: Stack, rows: Array, goal: Goal) -> Fitted:
        """`weights`, (M,), and `bias`, (C,)."""
        from scipy.optimize import minimize

        task, count, width = goal.task, len(stack), len(goal.task)
        rows = rows[some(rows, count * width, NUMBERS_IN_MEMORY)]
        true, marks = goal.targets[rows], goal.marks[rows]
        members = np.stack(
            [task.to_scores(stack.of(m, rows)) for m in range(count)]
        )  # (M, rows, C)
        middle = np.concatenate([np.full(count, 1 / count), np.zeros(width)])

        def cost(free: Array) -> tuple[float, Array]:
            probs = task.from_scores(np.tensordot(free[:count], members, 1) + free[count:])
            given = task.likelihood(true, probs)
            error = probs - marks  # (rows, C), the gradient by the sums of scores
            gradient = np.concatenate([np.tensordot(members, error, 2), error.sum(axis=0)])
            away = free - middle
            loss = -np.log(np.clip(given, TINY, None)).sum() + away @ away / 2
            return loss / len(rows), (gradient + away) / len(rows)

        found = minimize(cost, middle, jac=True, method="L-BFGS-B").x
        return {"weights": found[:count].tolist(), "bias": found[count:].tolist()}

    def apply(self, fitted: Fitted, stack: Stack, rows: RowIndex) -> Array:
        """See `Blending.apply`."""
        summed = _sum(stack, rows, _weights(fitted), stack.task.to_scores)
        return stack.task.from_scores(summed + np.array(fitted["bias"]))


class Auto(Blending):
    """Tries all methods and takes the simplest one within one standard error of the best."""

    method: Literal["auto"] = "auto"

    def candidates(self, members: int, task: Task) -> list[Blending]:
        """All methods for the task; of one member there is nothing to blend."""
        if members == 1:
            return [Single()]
        return [
            BLENDINGS.parse(name)
            for name, kind in BLENDINGS.every().items()
            if kind is not Auto and (task.probabilities or not kind.of_probabilities)
        ]


def blend_rows(method: Blending, fitted: Fitted, stack: Stack, rows: RowIndex) -> Array:
    """The blend of some rows by a method, (rows, C); rows sum to 1 unless they have many labels."""
    return stack.task.normalise(method.apply(fitted, stack, rows))
