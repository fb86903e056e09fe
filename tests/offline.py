"""W&B's offline runs, read back by its own reader."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def read(file: Path) -> dict[str, Any]:
    """An offline run as W&B's own reader tells it: config, names, history, last summary."""
    lines = subprocess.check_output(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)], text=True
    )
    told: dict[str, Any] = {"history": [], "summary": {}}
    for line in map(json.loads, lines.splitlines()):
        if line["type"] == "run":
            told |= line["run"]
        elif line["type"] == "history":
            told["history"].append(line["history"]["item"])
        elif line["type"] == "summary":
            told["summary"] |= line["summary"].get("update", {})
        elif line["type"] == "exit":
            told["exit"] = line["exit"].get("exit_code", 0)
    return told
