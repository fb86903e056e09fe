"""Competitions and recipes as TOML files, read into frozen models; nothing else."""
