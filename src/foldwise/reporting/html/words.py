"""The words of pages: what a column is called, and what terms mean, for tooltips."""

# short forms of docs/glossary.md, where each of these terms stands
TERMS = {
    "activation map": "Which parts of an image the predicted class rests on.",
    "blend": "Predictions of several runs as one.",
    "calibration error": "How far predicted probabilities lie from the shares that are right, "
    "averaged over bins of confidence (ECE).",
    "confused classes": "A label, and another class that is predicted instead of it.",
    "cross-fitted": "Fitted on all folds but the one it is applied to.",
    "expected score": "What the leaderboard should show for the file, with the interval in which "
    "it lies in 95 of 100 cases.",
    "fold": "One part of the training rows, and the model trained on the others.",
    "group": "Units that belong together (a site, a patient) and are never split between folds.",
    "held out": "Not trained on.",
    "leaderboard": "The platform's list of teams with their scores.",
    "learning rate": "How far a step of training moves the weights.",
    "local score": "The metric of the cross-fitted out-of-fold predictions, through the "
    "submission's own shape.",
    "member": "One of the runs of a blend.",
    "method of blending": "How predictions of several runs become one.",
    "noise": "The difference between two scores that resampled rows, or other folds, would give "
    "as well.",
    "out-of-fold (OOF) predictions": "Of each training row, by the model that was not trained on "
    "it.",
    "percentile": "The share of teams, in percent, down to this place.",
    "place": "The position among the leaderboard's teams.",
    "precision": "Of the rows predicted as a class, the share that has it as label.",
    "private": "The leaderboard after the end.",
    "public": "The leaderboard from the start.",
    "recall": "Of the rows labelled with a class, the share predicted as it.",
    "recipe": "How a model is trained, a TOML file.",
    "run": "A recipe trained with one seed, on all its folds.",
    "stage": "Epochs with settings of their own.",
    "standard error": "How far an average is typically off by chance.",
    "step": "What a blend does after its method: temperatures, bounds, thresholds or cut points.",
    "submission": "A file of predictions, with its manifest.",
    "threshold": "The probability from which a label is predicted.",
    "tta": "Test-time augmentation: averaging predictions of transformed copies of an image.",
    "verdict": "Whether a difference is more than noise, by its 95 % interval.",
}
# a column's name in the tables, and the term that it is about, if any; a column of one table alone
# by table.column; of others its key with spaces is the name
HEADERS: dict[str, tuple[str, str | None]] = {
    "submissions.error": ("message", None),
    "submissions.blend": ("blend", "blend"),
    "blend": ("blend", "blend"),
    "blend_alone": ("without steps", "step"),
    "blends.run": ("blend", "blend"),
    "blends.difference": ("difference to best", "member"),
    "cell": ("worst label", None),
    "cross_fitted": ("cross-fitted", "cross-fitted"),
    "date": ("created (UTC)", None),
    "deviation": ("std. deviation", None),
    "done": ("folds done", "fold"),
    "error": ("std. error", "standard error"),
    "expected": ("expected", "expected score"),
    "expected_interval": ("95 % interval", "expected score"),
    "fold": ("fold", "fold"),
    "group": ("group", "group"),
    "images_per_second": ("images per second", None),
    "interval": ("95 % interval", None),
    "local": ("local", "local score"),
    "local_interval": ("95 % interval", "local score"),
    "mean": ("mean of folds", "fold"),
    "member": ("member", "member"),
    "best_member": ("best member", "member"),
    "member_score": ("its score", None),
    "memory_GB": ("memory (GB)", None),
    "GPU_memory_GB": ("GPU memory (GB)", None),
    "method": ("method", "method of blending"),
    "number": ("#", "submission"),
    "percentile": ("top %", "percentile"),
    "place": ("place", "place"),
    "precision": ("precision", "precision"),
    "private": ("private", "private"),
    "public": ("public", "public"),
    "recall": ("recall", "recall"),
    "run": ("run", "run"),
    "stage": ("stage", "stage"),
    "step": ("step", "step"),
    "test_share": ("predicted share of test", None),
    "threshold": ("threshold", "threshold"),
    "train_share": ("share of train", None),
    "truth": ("probability of truth", None),
    "value": ("score", None),
    "verdict": ("verdict", "verdict"),
}


def header(table: str, column: str) -> tuple[str, str]:
    """What a table's column is called, and its tooltip, empty without one."""
    found = HEADERS.get(f"{table}.{column}") or HEADERS.get(column)
    label, term = found or (column.replace("_", " "), None)
    return label, TERMS[term] if term else ""
