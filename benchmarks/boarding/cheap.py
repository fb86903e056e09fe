"""Models that take a second to fit: some as good as they get on frozen features, some that are
far too sure, some poor. Each is a function of inputs (n, D), hot (n, C), multi and a seed that
gives a function from inputs to probabilities.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

Predict = Callable[[np.ndarray], np.ndarray]
PENALTY = 3.0  # of `linear`, as scikit-learn's 1 / C
NEIGHBOURS = 10
PLANES = 48  # components that `bayes` looks at


def _probabilities(logits: torch.Tensor, multi: bool) -> np.ndarray:
    found = logits.sigmoid() if multi else logits.softmax(dim=1)
    return found.detach().numpy().astype(np.float32)


def _loss(logits: torch.Tensor, hot: torch.Tensor, multi: bool) -> torch.Tensor:
    if multi:
        return F.binary_cross_entropy_with_logits(logits, hot) * hot.shape[1]
    return F.cross_entropy(logits, hot)


def linear(inputs: np.ndarray, hot: np.ndarray, multi: bool, seed: int) -> Predict:
    """Logistic regression."""
    x, y = torch.from_numpy(inputs), torch.from_numpy(hot)
    layer = nn.Linear(x.shape[1], y.shape[1])
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=40, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = _loss(layer(x), y, multi) + PENALTY / 2 / len(x) * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return lambda new: _probabilities(layer(torch.from_numpy(new)), multi)


def net(
    inputs: np.ndarray,
    hot: np.ndarray,
    multi: bool,
    seed: int,
    own: int = 0,
    epochs: int = 8,
    drop: float = 0.4,
    decay: float = 0.02,
) -> Predict:
    """A net of one hidden layer by AdamW and one cycle; `own` is the run's seed."""
    x, y = torch.from_numpy(inputs), torch.from_numpy(hot)
    torch.manual_seed(1000 * own + seed)
    model = nn.Sequential(
        nn.Dropout(drop / 2),
        nn.Linear(x.shape[1], 192),
        nn.ReLU(),
        nn.Dropout(drop),
        nn.Linear(192, y.shape[1]),
    )
    batch = max(32, min(128, len(x) // 20))
    steps = epochs * -(-len(x) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            _loss(model(x[rows]), y[rows], multi).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    return lambda new: _probabilities(model(torch.from_numpy(new)), multi)


def bagged(inputs: np.ndarray, hot: np.ndarray, multi: bool, seed: int) -> Predict:
    """The mean of three nets: a member that is a mean already."""
    found = [net(inputs, hot, multi, seed, own=100 + k) for k in range(3)]
    return lambda new: np.mean([predict(new) for predict in found], axis=0)


def bayes(inputs: np.ndarray, hot: np.ndarray, multi: bool, seed: int) -> Predict:
    """Gaussian naive Bayes, for each class by itself where there may be many: far too sure."""
    from sklearn.naive_bayes import GaussianNB

    def fitted(codes: np.ndarray) -> Any:
        return GaussianNB(var_smoothing=1e-2).fit(inputs[:, :PLANES], codes)

    if not multi:
        width, model = hot.shape[1], fitted(hot.argmax(axis=1))

        def predict(new: np.ndarray) -> np.ndarray:
            probs = np.full((len(new), width), 1e-12, np.float32)  # a class may be in no part
            probs[:, model.classes_] = model.predict_proba(new[:, :PLANES])
            return probs / probs.sum(axis=1, keepdims=True)

        return predict
    models = [fitted(column) for column in hot.T]
    return lambda new: np.stack(
        [model.predict_proba(new[:, :PLANES])[:, -1] for model in models], axis=1
    ).astype(np.float32)


def near(inputs: np.ndarray, hot: np.ndarray, multi: bool, seed: int) -> Predict:
    """The nearest neighbours by the cosine, with the shares of all rows as one more."""

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    known, prior = unit(inputs), hot.mean(axis=0)

    def predict(new: np.ndarray) -> np.ndarray:
        found = []
        for part in np.array_split(unit(new), max(1, len(new) // 1000)):
            close = part @ known.T
            best = np.argpartition(-close, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
            found.append((hot[best].sum(axis=1) + prior) / (NEIGHBOURS + 1))
        return np.concatenate(found).astype(np.float32)

    return predict


MODELS: dict[str, Callable[[np.ndarray, np.ndarray, bool, int], Predict]] = {
    "linear": linear,
    "net-s0": net,
    "net-s1": partial(net, own=1),
    "net-s2": partial(net, own=2),
    "bagged": bagged,
    "long": partial(net, own=3, epochs=25, drop=0.0, decay=0.0),
    "few": partial(net, own=4, epochs=2),
    "bayes": bayes,
    "near": near,
    "elsewhere": linear,
}
