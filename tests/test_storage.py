"""Files are whole or absent; locks hold; a full disk is one clear line."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foldwise.errors import StorageError
from foldwise.storage import (
    disk_errors,
    locked,
    need_space,
    read_json,
    replacing,
    sha256_json,
    write_json,
)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_is_one_clear_line_and_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(StorageError, match=r"no disk space left while writing .*a.bin"):
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_other_errors_of_the_system_pass_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_too_little_space_says_how_much_is_needed(tmp_path: Path) -> None:
    need_space(tmp_path, 1, "nothing much")
    with pytest.raises(StorageError, match=r"the cache needs 1000000000.00 GB .* are free"):
        need_space(tmp_path / "not" / "there", 10**18, "the cache")


def test_damaged_json_says_which_file_to_remove(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"half": ')
    with pytest.raises(StorageError, match=r"run.json should hold JSON .* remove it"):
        read_json(tmp_path / "run.json")


def test_equal_values_have_equal_hashes() -> None:
    assert sha256_json({"a": 1, "b": [2]}) == sha256_json({"b": [2], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": "1"})


def test_a_lock_holds_off_other_processes_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    program = (
        "import sys\nfrom pathlib import Path\nfrom foldwise.storage import locked\n"
        "with locked(Path(sys.argv[1]), 'the other', wait=False):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StorageError, match=f"training is already at work .*{holder.pid}"):
        with locked(path, "training", wait=False):
            pass
    holder.kill()
    holder.wait()
    with locked(path, "training", wait=False):
        pass
