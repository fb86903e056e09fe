"""Reproducing: a submission made again from its manifest, and compared with the file."""
