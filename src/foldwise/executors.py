"""Where fold tasks run: a module-level function mapped over plain, picklable tasks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FoldTask:
    """One fold of one run, as plain values."""

    root: Path  # the workspace's folders
    data: Path
    runs: Path
    competition: str
    run: Path  # the run's directory
    fold: int


def run_here(
    function: Callable[[FoldTask, Callable[[Any], None]], None],
    tasks: Iterable[FoldTask],
    observe: Callable[[Any], None],
) -> None:
    """Run the tasks one after another in this process."""
    for task in tasks:
        function(task, observe)
