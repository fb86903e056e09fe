"""Several trainings on one GPU: each keeps to its part of the memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

USABLE_SHARE = 0.9  # of its part; what a process takes beside its tensors needs some too


@contextmanager
def part_of_gpu(part: float | None) -> Iterator[None]:
    """Within the block tensors take no more of the GPU's memory than a part of it; None: all."""
    if not part or part >= 1 or not torch.cuda.is_available():
        yield
        return
    torch.cuda.set_per_process_memory_fraction(USABLE_SHARE * part)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
