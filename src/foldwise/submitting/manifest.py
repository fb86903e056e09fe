"""What a submission was made of: enough to make it again."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("foldwise", "torch", "torchvision", "fastai", "timm", "numpy", "pandas", "pyarrow",
            "pillow", "scikit-learn", "safetensors")  # fmt: skip


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The processor's kind and the number of threads that results depend on."""
    return {"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()}


def code(root: Path) -> dict[str, Any]:
    """The git commit of a checkout and the SHA-256 of its uncommitted diff.

    Keys: `commit` (None outside git) and `diff_sha256` (None where the tree is clean).
    `submissions/` is left out: each submission writes there.
    """
    commit = _git(root, "rev-parse", "HEAD")
    diff = _git(root, "diff", "HEAD", "--", ".", ":(exclude)submissions")
    digest = hashlib.sha256(diff.encode()).hexdigest() if diff else None
    return {"commit": (commit or "").strip() or None, "diff_sha256": digest}


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
