"""Precision, memory, threads, fused prediction."""
