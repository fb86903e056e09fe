"""What results depend on of the machine that computes them: threads, and the kind of GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def threads() -> int:
    """The number of threads that torch computes with on a CPU; sums depend on it."""
    return torch.get_num_threads()


def gpu() -> str | None:
    """The name of the GPU that trains; None where the CPU does."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


@contextmanager
def computing_with(count: int) -> Iterator[None]:
    """That many threads within the block, as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
