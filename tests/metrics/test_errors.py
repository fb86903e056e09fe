"""Errors of numbers are those by hand and scikit-learn's, rows weighted by how often they count."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from foldwise.kinds.targets import Targets
from foldwise.tasks import Regression
from tiny import metric_of

TASK = Regression(("a", "b"))


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_an_error_is_the_mean_over_columns(name: str) -> None:
    rng = np.random.default_rng(0)
    truth, block = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    metric = metric_of(name)
    by_sklearn = {"rmse": root_mean_squared_error, "mae": mean_absolute_error}[name]
    answers = metric.answers(TASK, Targets(truth), block)
    assert metric.value(answers) == pytest.approx(by_sklearn(truth, block))
    columns = [by_sklearn(truth[:, c], block[:, c]) for c in (0, 1)]
    assert metric.class_values(answers) == pytest.approx(columns)
    assert (metric.higher, metric.range, metric.reads) == (False, (0.0, np.inf), "numbers")


def test_a_row_counts_as_often_as_it_is_drawn() -> None:
    truth, block = np.zeros((3, 2)), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    rule = metric_of("rmse").rule(metric_of("rmse").answers(TASK, Targets(truth), block))
    assert not isinstance(rule, np.ndarray)
    found = rule(np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]]))
    assert found == pytest.approx(
        [
            np.sqrt((block[[int(row) for row in rows]] ** 2).mean(axis=0)).mean()
            for rows in ("012", "002")
        ]
    )
