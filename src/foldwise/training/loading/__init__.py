"""Batches of images: read, drawn, augmented."""
