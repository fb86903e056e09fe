"""A side of a benchmark in a process of its own."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

Side = Callable[[], Any]


class Apart:
    """A side in a process of its own, which sleeps while the other side has its turn.

    So a peer runs as it does for its users, with a memory and an allocator of its own.
    """

    def __init__(self, make: Callable[..., Side], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, inner = context.Pipe()
        usual = multiprocessing.get_start_method()
        self.process = context.Process(target=serve, args=(inner, make, arguments, usual))
        self.process.start()  # no daemon: a peer's loader starts processes too

    def __call__(self) -> Any:
        """One turn."""
        self.pipe.send("go")
        return self.pipe.recv()

    def close(self) -> None:
        """End the process."""
        self.pipe.send("end")
        self.process.join()


def serve(
    pipe: Connection, make: Callable[..., Side], arguments: tuple[object, ...], usual: str
) -> None:
    """Make a side and run it whenever it is asked. usual: how its loader starts processes."""
    multiprocessing.set_start_method(usual, force=True)  # not as this one was started
    side = make(*arguments)
    while pipe.recv() == "go":
        pipe.send(side())


VIEWS = ("none", "hflip", "vflip", "rot90", "rot180")  # five, as learn.tta(n=4) has
