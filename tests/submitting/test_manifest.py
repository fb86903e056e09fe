"""The manifest's record of the code: commit, and a dirty diff that ignores submissions."""

import subprocess
from pathlib import Path
from typing import Any

from foldwise.store.files import sha256_file
from foldwise.store.versions import PACKAGES, versions
from foldwise.submitting import manifest


def git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def code(root: Path) -> dict[str, Any]:
    """What the manifest says of a checkout."""
    found = manifest.code(root, root)
    return {key: found[key] for key in ("commit", "diff_sha256")}


def test_commit_and_dirty_diff(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "ledger.jsonl").write_text("")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    clean = code(tmp_path)
    assert clean == {"commit": git(tmp_path, "rev-parse", "HEAD"), "diff_sha256": None}
    (tmp_path / "submissions" / "ledger.jsonl").write_text("line")
    assert code(tmp_path) == clean
    (tmp_path / "code.py").write_text("2")
    assert code(tmp_path)["diff_sha256"] is not None


def test_outside_git_there_is_no_commit(tmp_path: Path) -> None:
    assert code(tmp_path) == {"commit": None, "diff_sha256": None}


def test_the_adapter_and_the_packages_own_files_are_told(tmp_path: Path) -> None:
    first = manifest.code(tmp_path, tmp_path)
    assert first["adapter_sha256"] is None
    (tmp_path / "adapter.py").write_text("1")
    second = manifest.code(tmp_path, tmp_path)
    assert second["adapter_sha256"] == sha256_file(tmp_path / "adapter.py")
    assert second["package_sha256"] == first["package_sha256"]


def test_versions_name_what_results_depend_on() -> None:
    found = versions()
    assert found["numpy"].startswith("2")
    assert set(found) <= {"python", *PACKAGES}
