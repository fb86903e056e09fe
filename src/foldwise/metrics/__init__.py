"""From answers to scores, with intervals."""
