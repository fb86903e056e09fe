"""Readers of image files: a kind per package that reads some."""
