"""Freed memory stays with the process: a training step need not ask the kernel for it anew."""

import ctypes
import functools

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
BLOCK, KEPT = 1 << 30, (1 << 31) - 1  # bytes


@functools.cache
def keep_freed_memory() -> bool:
    """Whether this process's malloc now keeps what is freed; False where that is not glibc's.

    By default glibc gets every block above some megabytes from the kernel and gives it back when
    it is freed, so that each step of a training on a CPU faults all its activations in again: 15
    to 20 % of ResNet-34's step on two cores (docs/architecture.md). A GPU's memory has a cache of
    its own in torch. The process then holds on to its peak, as it does on a GPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    # before glibc 2.36 a threshold above 32 MB is refused: then no block has a mapping of its own
    blocks = mallopt(M_MMAP_THRESHOLD, BLOCK) or mallopt(M_MMAP_MAX, 0)
    return bool(blocks and mallopt(M_TRIM_THRESHOLD, KEPT))
