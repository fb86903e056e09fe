"""Values that cross rooms."""
