"""A function called in a process of its own, which can be ended whatever it does."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar, TypeVarTuple

import foldwise

Arguments = TypeVarTuple("Arguments")
Returned = TypeVar("Returned")


def apart(
    function: Callable[[*Arguments], Returned],
    arguments: tuple[*Arguments],
    seconds: float,
) -> Returned:
    """What a module's function returns for these arguments; all of them are plain JSON.

    A compiler cannot be interrupted, and starts processes. When the time is up, or this process
    ends, be it by SIGKILL, all of them are killed.
    Raises: TimeoutError: it takes longer. RuntimeError: it fails; the last line that it wrote.
    """
    command = [sys.executable, "-m", __name__, function.__module__, function.__name__]
    package = str(Path(foldwise.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            [*command, json.dumps(arguments)],
            stdin=subprocess.PIPE,  # never written: its end tells that this process is gone
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{function.__name__} takes more than {seconds:.0f} s") from error
        finally:
            _kill(process)
            process.communicate()
        output.seek(0)
        lines = output.read().strip().splitlines() or [""]
    if process.returncode:
        raise RuntimeError(lines[-1] or f"it ended with {process.returncode}")
    returned: Returned = json.loads(lines[-1])
    return returned


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if not hasattr(os, "killpg"):  # Windows
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS: all that is left of it is a zombie
        return


def _end_with_caller() -> None:
    sys.stdin.read()
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)  # Windows: what it has started goes on until it is done


def main() -> None:
    """Call the function that the command line names and print what it returns as JSON."""
    module, name, arguments = sys.argv[1:]
    threading.Thread(target=_end_with_caller, daemon=True).start()
    result = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    print("", json.dumps(result), sep="\n", flush=True)


if __name__ == "__main__":
    main()
