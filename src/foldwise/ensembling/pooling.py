"""The folds' models on test rows: their mean, its temperature, and what labels it makes likely.

A mean of models is another model than each of them: less sure where they disagree, and right more
often. A temperature that is fitted on OOF is that of one fold's models, so it is translated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foldwise.arrays import Array
from foldwise.ensembling.calibrate import Temperature
from foldwise.ensembling.chain import Chain, apply_chain, apply_steps
from foldwise.ensembling.members import Member, OneFold
from foldwise.kinds.blending import Stack
from foldwise.kinds.task import TINY
from foldwise.tasks import Task


@dataclass(frozen=True)
class Pool:
    """Test predictions of all folds, averaged, each (n, C).

    blend: the mean of the folds' blends at the temperature `of_each`. of_mean: at which it is as
    well calibrated as can be told. answers: the mean of what the chain makes of each fold. logs:
    that of the logarithms of these answers' outcomes, see `Task.outcomes`; empty where there are
    no probabilities. spread: the mean square by which the folds' answers differ from their mean.
    """

    task: Task
    blend: Array
    of_each: float
    of_mean: float
    answers: Array
    logs: Array
    spread: float = 0.0

    def likely(self) -> Array:
        """The probabilities of the labels as the folds together see them."""
        return self.task.at_temperature(self.blend, self.of_mean)


def each_fold(task: Task, chain: Chain, count: int, members: Sequence[Member]) -> Iterator[Array]:
    """A chain's test predictions by the models of each of count folds."""
    for fold in range(count):
        yield apply_chain(chain, Stack(probs=OneFold(members, fold), task=task), slice(None))


def pool_of(
    task: Task,
    chain: Chain,
    count: int,
    members: Sequence[Member],
    single: float,
    weights: Sequence[float] | None = None,
) -> Pool:
    """The test predictions of count folds.

    single: the temperature that is best for the blend of one fold, as OOF tells it.
    weights: of the columns, where they count differently.

    What is too sure is made calibrated before it is averaged, as no temperature of the mean undoes
    a vote; what is too timid is averaged as it is. The temperature of the mean is then the one at
    which labels drawn from it would make `single` the best for one fold's models on these rows too.
    No label of a test row is needed, and rows that are somewhat harder than those of OOF change
    little. At the best temperature T of scores s the gradient of the log loss is 0:
    E[s·y] = E[s·softmax(s / T)], in the mean over rows. So E[s·q] for labels of the probabilities q
    has to be what the folds' tempered predictions give. A mean is never less sure than right by
    more than its members are too sure; and K of them that err independently are so by K at most,
    in variance: T stays within 1 and 1 / sqrt(K) of what one fold needs.

    That a mean needs another temperature than its members: Rahaman and Thiery 2021, "Uncertainty
    Quantification and Deep Ensembles"; Wu and Gales 2021, "Should Ensemble Members Be Calibrated?"
    (abstracts read 2026-11-30).
    """
    columns = np.ones(1) if weights is None else np.array(weights)
    flat, sums, pull = max(single, 1.0), _Sums(), 0.0
    for probs in each_fold(task, chain.with_steps(), count, members):
        answers, score = apply_steps(chain.steps, probs, task), columns * task.to_scores(probs)
        if task.probabilities:
            sums.add(logs=np.log(np.clip(task.outcomes(answers), TINY, 1)))
        pull += float((task.at_temperature(probs, single) * score).sum())
        blend = task.at_temperature(probs, flat)
        sums.add(blend=blend, answers=answers, score=score, squares=answers**2)
    means = {name: total / count for name, total in sums.of.items()}
    blend, answers = (task.normalise(means[name]) for name in ("blend", "answers"))
    of_mean = most = min(single, 1.0)
    if len(blend) and task.probabilities:
        bounds = (most / count**0.5, most)
        of_mean = _temperature(task, blend, sums.of["score"], pull, bounds)
    return Pool(
        task=task,
        blend=blend,
        of_each=flat,
        of_mean=of_mean,
        answers=answers,
        logs=means.get("logs", np.empty(0)),
        spread=float((means["squares"] - means["answers"] ** 2).mean()) if len(blend) else 0.0,
    )


class _Sums:
    """Sums over folds, by name."""

    def __init__(self) -> None:
        self.of: dict[str, Array] = {}

    def add(self, **more: Array) -> None:
        """Add an array (n, C) to each name's sum."""
        for name, array in more.items():
            self.of[name] = self.of[name] + array if name in self.of else array


def _temperature(
    task: Task, blend: Array, score: Array, pull: float, bounds: tuple[float, float]
) -> float:
    """The temperature T at which the sum of score * tempered(blend, T) is `pull`."""
    from scipy.optimize import brentq

    def excess(log_temperature: float) -> float:
        drawn = task.at_temperature(blend, float(np.exp(log_temperature)))
        return float((score * drawn).sum()) - pull

    low, high = np.log(bounds)
    if excess(low) <= 0:
        return bounds[0]
    return bounds[1] if excess(high) >= 0 else float(np.exp(brentq(excess, low, high, xtol=1e-3)))


def for_the_mean(chain: Chain, pool: Pool) -> Chain:
    """The chain with two more temperatures: `of_each` fold before the mean, and `of_mean`."""
    own = {"of_each": pool.of_each, "of_mean": pool.of_mean}
    return chain.with_steps(
        step.model_copy(update=own) if isinstance(step, Temperature) else step
        for step in chain.steps
    )


def final(chain: Chain, pool: Pool) -> Array:
    """The test predictions (n, C) that are submitted. chain: as `for_the_mean` gives it.

    Where the chain has a temperature, that and what comes after it change the mean of the folds;
    else each fold's answers are averaged.
    """
    return _after(pool.task, chain, pool.blend) if _temperatures(chain) else pool.answers


def average_folds(task: Task, chain: Chain, count: int, members: Sequence[Member]) -> Array:
    """The same of other rows, (n, C), with the temperatures that the test rows settled."""
    own, sums = _temperatures(chain), _Sums()
    for probs in each_fold(task, chain.with_steps() if own else chain, count, members):
        sums.add(probs=task.at_temperature(probs, own[0]) if own else probs)
    mean = task.normalise(sums.of["probs"] / count)
    return _after(task, chain, mean) if own else mean


def _temperatures(chain: Chain) -> tuple[float, float] | None:
    """The temperatures of each fold and of their mean; None where the chain has no temperature, or
    one of an earlier version, which belongs to each fold."""
    for step in chain.steps:
        if isinstance(step, Temperature) and step.of_each is not None and step.of_mean is not None:
            return step.of_each, step.of_mean
    return None


def _after(task: Task, chain: Chain, mean: Array) -> Array:
    steps = [
        Temperature(temperature=step.of_mean)
        if isinstance(step, Temperature) and step.of_mean is not None
        else step
        for step in chain.steps
    ]
    return apply_steps(steps, mean, task)
