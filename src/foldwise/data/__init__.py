"""From raw files to a checked label table, folds and cached images."""
