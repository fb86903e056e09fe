"""Blend methods: a stack of members' probabilities (M, n, C) becomes one, (n, C).

Each has a `fit`, which sees a stack's rows and the goal and gives plain data, and an `apply`, which
turns that data and a stack into probabilities. What a method does not fit is an empty dict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldwise.ensembling.goal import Goal, some
from foldwise.kinds.task import TINY
from foldwise.tasks import Task

MOST = 10_000_000  # numbers that a fit holds at once: 80 MB; of longer stacks it takes some rows
BAGS, ROUNDS = 5, 30  # climb: bags of rows, and takes in each
EVALUATIONS = 60  # weights: of the metric, per member, where it has no gradient
Fitted = dict[str, Any]
Rows = np.ndarray | slice


@dataclass(frozen=True)
class Stack:
    """The members' probabilities of the same rows.

    probs: per member (n, C), as one array (M, n, C) or read when asked for.
    temperatures: the members' own, where they have been fitted.
    """

    probs: Sequence[np.ndarray] | np.ndarray
    task: Task
    temperatures: Sequence[float] | None = None

    def __len__(self) -> int:
        return len(self.probs)

    def of(self, member: int, rows: Rows) -> np.ndarray:
        """A member's probabilities of some rows, (rows, C)."""
        probs = np.asarray(self.probs[member][rows])
        if self.temperatures is None:
            return probs
        return self.task.at_temperature(probs, self.temperatures[member])


@dataclass(frozen=True)
class Method:
    """A way to blend. tempers: members' own temperatures would change what it can give."""

    fit: Callable[[Stack, np.ndarray, Goal], Fitted]
    apply: Callable[[Fitted, Stack, Rows], np.ndarray]
    tempers: bool = True


def _nothing(stack: Stack, rows: np.ndarray, goal: Goal) -> Fitted:
    return {}


def _sum(stack: Stack, rows: Rows, weights: Sequence[float], of: Callable[..., Any]) -> np.ndarray:
    """The sum over members of weight * of(probabilities), one member held at a time."""
    used = [m for m in range(len(stack)) if weights[m]] or [0]
    total = weights[used[0]] * of(stack.of(used[0], rows))
    for m in used[1:]:
        total = total + weights[m] * of(stack.of(m, rows))
    return total


def _mean_of(stack: Stack, rows: Rows, of: Callable[..., Any]) -> np.ndarray:
    return _sum(stack, rows, [1.0] * len(stack), of) / len(stack)


def _mean(fitted: Fitted, stack: Stack, rows: Rows) -> np.ndarray:
    return _mean_of(stack, rows, lambda probs: probs)


def _geometric(fitted: Fitted, stack: Stack, rows: Rows) -> np.ndarray:
    return np.exp(_mean_of(stack, rows, lambda probs: np.log(np.clip(probs, TINY, None))))


def _rank(fitted: Fitted, stack: Stack, rows: Rows) -> np.ndarray:
    """The members' mean rank of each row, column by column, put back into probabilities.

    The row of mean rank r gets the r-th smallest number of its column, averaged over the members
    and interpolated. So rows stand in the order of their mean ranks, on the members' scale: rows
    sum to about 1 where the members' do, and folds can be averaged. Ranks are within these rows,
    which one model per member has predicted.
    """
    from scipy.stats import rankdata

    # ranks are halves of whole numbers: sums that are equal stay so
    ranks = _mean_of(stack, rows, lambda probs: rankdata(probs, axis=0))
    levels = _mean_of(stack, rows, lambda probs: np.sort(probs, axis=0))
    places = np.arange(1, len(levels) + 1)
    columns = [np.interp(r, places, level) for r, level in zip(ranks.T, levels.T, strict=True)]
    return np.stack(columns, axis=1)


def _fit_single(stack: Stack, rows: np.ndarray, goal: Goal) -> Fitted:
    costs = [goal.cost(stack.of(m, rows), rows) for m in range(len(stack))]
    return {"weights": [float(m == np.argmin(costs)) for m in range(len(stack))]}


def _weighted(fitted: Fitted, stack: Stack, rows: Rows) -> np.ndarray:
    return _sum(stack, rows, fitted["weights"], lambda probs: probs)


def _given(stack: Stack, rows: np.ndarray, goal: Goal) -> np.ndarray:
    """The probability that each member gave to what was true, (M, rows), or with many labels of
    each cell, (M, rows * C): all that the log loss of a weighted mean depends on."""
    true = goal.targets[rows]
    given = (goal.task.given(true, stack.of(m, rows)) for m in range(len(stack)))
    return np.stack([each.ravel() for each in given])


def _log_loss_of(
    stack: Stack, rows: np.ndarray, goal: Goal
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """A function of weights (M,) that gives the log loss of the weighted mean, and its gradient."""
    given = _given(stack, rows, goal)
    columns = goal.column_weights
    counts = np.ones(given.shape[1]) if columns is None else np.tile(columns, len(rows))
    counts, clip = counts / counts.sum(), goal.metric.log_clip

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mix = np.clip(weights @ given, clip, 1 - clip)
        return float(-counts @ np.log(mix)), -(given @ (counts / mix))

    return cost


def _cost_of(stack: Stack, rows: np.ndarray, goal: Goal) -> Callable[[np.ndarray], float]:
    """A function of weights (M,) that gives the cost of the weighted mean."""
    if goal.log_loss:
        log_loss = _log_loss_of(stack, rows, goal)
        return lambda weights: log_loss(weights)[0]
    rows = rows[some(rows, len(stack) * len(goal.task), MOST)]
    held = np.stack([stack.of(m, rows) for m in range(len(stack))])  # (M, rows, C)
    return lambda weights: goal.cost(np.tensordot(weights, held, 1), rows)


def _fit_climb(stack: Stack, rows: np.ndarray, goal: Goal) -> Fitted:
    """Weights by hill climbing with replacement, averaged over bags.

    Ensemble selection (Caruana et al. 2004, "Ensemble selection from libraries of models", ICML;
    read 2026-11-22): again and again the member is taken, be it once more, whose joining improves
    the mean most; the best of all these means counts. Their bags are of members, of which they have
    thousands; with a few, a bag without the best one helps nobody. Here a bag is half of the rows,
    of each kind of labels every second one in a random order.
    """
    rng, found = np.random.default_rng(0), []
    kinds = goal.marks[rows] @ rng.random(len(goal.task))
    for _ in range(BAGS):
        order = rng.permutation(len(rows))
        half = np.sort(order[np.argsort(kinds[order], kind="stable")][::2])
        found.append(_climbed(_cost_of(stack, rows[half], goal), len(stack)))
    return {"weights": np.mean(found, axis=0).tolist()}


def _climbed(cost: Callable[[np.ndarray], float], count: int) -> np.ndarray:
    """The weights (M,) of the best mean met while climbing."""
    taken, one = np.zeros(count), np.eye(count)
    best, lowest = taken, np.inf
    for step in range(1, ROUNDS + 1):
        costs = [cost((taken + one[m]) / step) for m in range(count)]
        taken = taken + one[np.argmin(costs)]
        if min(costs) < lowest:
            best, lowest = taken / step, min(costs)
    return best


def _fit_weights(stack: Stack, rows: np.ndarray, goal: Goal) -> Fitted:
    """Convex weights that minimise the metric: by gradient for log loss, which is convex in them;
    else a search from the weights that are best for log loss, or from equal ones."""
    from scipy.optimize import minimize

    count = len(stack)
    equal = np.full(count, 1 / count)
    box = [(0, 1)] * count
    simplex = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)}
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


def _convex(weights: np.ndarray) -> np.ndarray:
    """Weights of 0 and more that sum to 1; what is next to nothing becomes nothing."""
    kept = np.where(weights > 1e-6, weights, 0)
    return kept / kept.sum() if kept.any() else np.full(len(kept), 1 / len(kept))


def _fit_stack(stack: Stack, rows: np.ndarray, goal: Goal) -> Fitted:
    """Logistic regression on the members' log-probabilities: a weight per member, a bias per class.

    One weight for all classes of a member (a logarithmic opinion pool with biases; Genest and
    Zidek 1986, Statistical Science 1(1)): with a weight per member, class and class there would be
    more of them than rows. The penalty is scikit-learn's (C = 1), towards the geometric mean.
    """
    from scipy.optimize import minimize

    task, count, width = goal.task, len(stack), len(goal.task)
    rows = rows[some(rows, count * width, MOST)]
    true, marks = goal.targets[rows], goal.marks[rows]
    members = np.stack([task.to_scores(stack.of(m, rows)) for m in range(count)])  # (M, rows, C)
    middle = np.concatenate([np.full(count, 1 / count), np.zeros(width)])

    def cost(free: np.ndarray) -> tuple[float, np.ndarray]:
        probs = task.from_scores(np.tensordot(free[:count], members, 1) + free[count:])
        given = task.given(true, probs)
        error = probs - marks  # (rows, C), the gradient by the sums of scores
        gradient = np.concatenate([np.tensordot(members, error, 2), error.sum(axis=0)])
        away = free - middle
        loss = -np.log(np.clip(given, TINY, None)).sum() + away @ away / 2
        return loss / len(rows), (gradient + away) / len(rows)

    found = minimize(cost, middle, jac=True, method="L-BFGS-B").x
    return {"weights": found[:count].tolist(), "bias": found[count:].tolist()}


def _stacked(fitted: Fitted, stack: Stack, rows: Rows) -> np.ndarray:
    summed = _sum(stack, rows, fitted["weights"], stack.task.to_scores)
    return stack.task.from_scores(summed + np.array(fitted["bias"]))


# from the simplest to the least simple; which run is the best single one is a fit as well
METHODS: dict[str, Method] = {
    "mean": Method(_nothing, _mean),
    "geometric": Method(_nothing, _geometric),
    "rank": Method(_nothing, _rank),
    "single": Method(_fit_single, _weighted, tempers=False),
    "weights": Method(_fit_weights, _weighted),
    "climb": Method(_fit_climb, _weighted),
    "stack": Method(_fit_stack, _stacked, tempers=False),
}


def blended(method: str, fitted: Fitted, stack: Stack, rows: Rows) -> np.ndarray:
    """The blend of some rows by a method, (rows, C); rows sum to 1 unless they have many labels."""
    return stack.task.normalise(METHODS[method].apply(fitted, stack, rows))
