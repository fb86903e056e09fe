"""What results depend on of the machine that computes them, threads and the kind of GPU; and what
they took of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def threads() -> int:
    """The number of threads that torch computes with on a CPU; sums depend on it."""
    return torch.get_num_threads()


def gpu() -> str | None:
    """The name of the GPU that trains; None where the CPU does."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return "Apple GPU (MPS)" if torch.backends.mps.is_available() else None


def wait_for_gpu() -> None:
    """Return once the GPU, if any, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def peak_memory() -> int | None:
    """Bytes: the most memory that this process has held so far, whatever for; None: Windows."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # getrusage(2): kB but on macOS


def forget_gpu_memory() -> None:
    """Let `gpu_memory` count from now on."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def gpu_memory() -> int | None:
    """Bytes: the most memory that tensors took on the GPU; None where there is none."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


@contextmanager
def computing_with(count: int) -> Iterator[None]:
    """That many threads within the block, as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
