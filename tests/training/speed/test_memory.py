"""malloc is told to keep freed memory, and other C libraries are left alone."""

import ctypes
import subprocess
import sys

import pytest

from foldwise.training.speed.memory import keep_freed_memory

GROWN = """
import ctypes, sys
from foldwise.training.speed.memory import keep_freed_memory

def resident():
    text = open("/proc/self/status").read()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024  # MB

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resident()
block = libc.malloc(300 << 20)
ctypes.memset(block, 1, 300 << 20)
libc.free(block)
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
@pytest.mark.parametrize(("how", "kept"), [("keep", True), ("leave", False)])
def test_a_freed_block_stays_with_the_process(how: str, kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROWN, how], capture_output=True, text=True, check=True
    )
    assert (float(done.stdout) > 250) is kept


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory.__wrapped__() is False
