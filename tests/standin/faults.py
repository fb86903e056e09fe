"""What can go wrong on the way: faults planned per method, and hooks."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from standin.methods import Reply

HTML = b"<!DOCTYPE html><html><body><h1>We'll be right back</h1></body></html>"
WAIT = {"Retry-After": "1"}


def refusal(code: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error as the platform words it."""
    body = json.dumps({"code": code, "message": message}).encode()
    return Reply(code, body, headers=headers or {})


ANSWERS: dict[str, Callable[[], Reply]] = {  # kind of fault -> what is said instead
    "401": lambda: refusal(401, "Unauthenticated"),
    "403": lambda: refusal(403, "You must accept this competition's rules before you can continue"),
    "404": lambda: refusal(404, "Not found"),
    "400": lambda: refusal(400, "Your team has used its daily submission allowance (5 of 5)."),
    "429": lambda: refusal(429, "Too many requests", WAIT),
    "500": lambda: refusal(500, "Internal error"),
    "502": lambda: refusal(502, "Bad gateway"),
    "503": lambda: refusal(503, "Service unavailable"),
    "list 200": lambda: Reply(200, b"[]"),
    "html 200": lambda: Reply(200, HTML, "text/html; charset=utf-8"),
    "html 502": lambda: Reply(502, HTML, "text/html; charset=utf-8"),
}
SILENCE, RESET = "silence", "reset"  # never an answer; the connection is reset
CUT, SHORT = "cut", "short"  # half the body of an honest length; half the body, said to be all
KINDS = (*ANSWERS, SILENCE, RESET, CUT, SHORT)


@dataclass
class Fault:
    """A planned fault.

    method: of the wire, or `PUT`, or `download` (the request that a download is redirected to).
    times: how often; None: always. skip: requests that pass before. after: the request takes
    effect first, so `reset` is a lost reply; before, a reset PUT is one in the middle of the file.
    """

    method: str
    kind: str
    times: int | None = 1
    after: bool = False
    skip: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a fault is one of {', '.join(KINDS)}, not {self.kind!r}")

    def strikes(self) -> bool:
        """Whether this request is hit; counts it."""
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return self.times is None or self.times >= 0

    def change(self, reply: Reply | None) -> Reply | None:
        """What is said instead of `reply`; None: nothing, the connection is reset."""
        if self.kind in ANSWERS:
            return ANSWERS[self.kind]()
        if reply is None or self.kind not in (CUT, SHORT):
            return None
        half = len(reply.body) // 2
        if self.kind == CUT:
            reply.cut = half
        else:
            reply.body = reply.body[:half]
        return reply
