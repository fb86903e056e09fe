"""A run, its folds and stages: from a recipe to weights."""
