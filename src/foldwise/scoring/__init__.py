"""From predictions to scores and blends."""
