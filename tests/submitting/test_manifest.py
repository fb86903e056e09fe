"""The manifest's record of the code: commit, and a dirty diff that ignores submissions."""

import subprocess
from pathlib import Path

from foldwise.submitting import manifest


def git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_commit_and_dirty_diff(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "ledger.jsonl").write_text("")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    clean = manifest.code(tmp_path)
    assert clean == {"commit": git(tmp_path, "rev-parse", "HEAD"), "diff_sha256": None}
    (tmp_path / "submissions" / "ledger.jsonl").write_text("line")
    assert manifest.code(tmp_path) == clean
    (tmp_path / "code.py").write_text("2")
    assert manifest.code(tmp_path)["diff_sha256"] is not None


def test_outside_git_there_is_no_commit(tmp_path: Path) -> None:
    assert manifest.code(tmp_path) == {"commit": None, "diff_sha256": None}


def test_versions_name_what_results_depend_on() -> None:
    found = manifest.versions()
    assert found["numpy"].startswith("2")
    assert set(found) <= {"python", *manifest.PACKAGES}
