"""From image files to cached pixels."""
