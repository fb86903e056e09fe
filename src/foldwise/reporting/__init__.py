"""Reporting: what people look at; it reads what a run directory holds and decides nothing."""
