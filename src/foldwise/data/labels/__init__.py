"""From label formats to one checked table."""
