"""A stand-in for Kaggle: a server on this machine that speaks its wire, with faults on order."""

from standin.faults import KINDS, Fault
from standin.server import AFTER, BEFORE, REPLIED, Call, Standin
from standin.state import Competition, RefusedError, Submission, Team, World

__all__ = [
    "AFTER",
    "BEFORE",
    "KINDS",
    "REPLIED",
    "Call",
    "Competition",
    "Fault",
    "RefusedError",
    "Standin",
    "Submission",
    "Team",
    "World",
]
