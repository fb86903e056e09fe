"""What records say where a test does not care, as plain values."""

from typing import Any


def run_values(**known: Any) -> dict[str, Any]:
    """All that a run's record has to say, with what a test knows better."""
    return {
        "competition": "tiny",
        "recipe": {"name": "tiny"},
        "seed": 0,
        "identity": "0123abcd",
        "scheme": "default",
        "folds_sha256": "f",
        "classes": ["z", "x"],
        "caches": [],
        "resolved": {},
        **known,
    }


def blend_values(**known: Any) -> dict[str, Any]:
    """All that a blend's record has to say, with what a test knows better."""
    return {
        "asked": "mean",
        "method": "mean",
        "metric": "log loss",
        "score": {"value": 0.5},
        "averaging_gain": 0.0,
        "expected": {"value": 0.5},
        "parts": {},
        "folds": 3,
        "in_sample": 0.5,
        "blend_alone": 0.5,
        "decided_apart": None,
        "members": [],
        "chain": {"method": "mean", "fitted": {}, "temperatures": None, "steps": []},
        "steps": [],
        "by_fold": [],
        "tried": [],
        **known,
    }
