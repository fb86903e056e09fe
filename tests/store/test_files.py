"""Files are whole or absent; locks hold; a full disk is one clear line."""

import errno
import logging
import os
import platform
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from foldwise.errors import StorageError
from foldwise.store.files import (
    allocate,
    disk_errors,
    hold_lock,
    is_locked,
    need_space,
    read_json,
    replace_file,
    scratch,
    sha256_json,
    sweep,
    write_json,
)
from foldwise.store.frames import read_stored


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), replace_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_is_one_clear_line_and_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(StorageError, match=r"no disk space left while writing .*a.bin"):
        with replace_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOENT, "if it was moved or removed, put it back"),
        (errno.EACCES, "give this user the rights to it .* or set FOLDWISE_DATA"),
        (errno.EPERM, "give this user the rights to it"),
        (errno.EROFS, "its disk is read-only: mount it writable"),
        (errno.EISDIR, "a folder lies where a file belongs: move it away"),
        (errno.ENOTDIR, "a file lies where a folder belongs: move it away"),
        (errno.EEXIST, "something else lies there"),
        (errno.ENOTEMPTY, "something else lies there"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.ELOOP, "its links lead in a circle"),
        (errno.EMFILE, "`ulimit -n`"),
        (errno.ENFILE, "end other programs"),
        (errno.EFBIG, "`ulimit -f`"),
        (errno.EIO, "the disk failed"),
        (errno.ENOLCK, "takes no locks"),
    ],
)
def test_what_a_disk_refuses_is_one_line_with_the_file_and_a_remedy(
    tmp_path: Path, number: int, says: str
) -> None:
    file = str(tmp_path / "weights.pt")
    expected = (
        rf"weights.pt cannot be read or written \(.*\); .*{says}.* run the same command again"
    )
    with pytest.raises(StorageError, match=expected), disk_errors(tmp_path / "other"):
        raise OSError(number, os.strerror(number), file)


def test_a_quota_that_is_used_up_is_told_from_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"the disk quota is used up while writing .*a.bin"):
        with disk_errors(tmp_path / "a.bin"):
            raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_a_disk_that_fills_while_a_folder_is_copied_is_one_clear_line(tmp_path: Path) -> None:
    copied = [("a", "b", "[Errno 28] No space left on device: 'b'")]
    with pytest.raises(StorageError, match="no disk space left while writing b "):
        with disk_errors(tmp_path):
            raise shutil.Error(copied)
    with pytest.raises(shutil.Error), disk_errors(tmp_path):
        raise shutil.Error([("a", "b", "another reason")])


def test_errors_that_are_not_the_disk_s_pass_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "no")  # as a connection has it: it names no file
    with pytest.raises(ConnectionRefusedError), disk_errors(tmp_path):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "no")


def test_the_temporary_file_s_name_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")
    with pytest.raises(StorageError, match=r"there cannot be read or written \(File exists\)"):
        write_json(tmp_path / "there" / "a.json", 1)
    (tmp_path / "b.json").mkdir()
    with pytest.raises(StorageError, match=r"/b.json cannot be read or written \(Is a directory"):
        write_json(tmp_path / "b.json", 1)


def test_a_name_as_long_as_the_disk_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_json(path, 1)
    assert read_json(path) == 1


def test_a_stored_table_that_is_damaged_or_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "sources.parquet"
    with pytest.raises(StorageError, match=r"sources.parquet cannot be read .* it is not there"):
        read_stored(path)
    path.write_text("half")
    with pytest.raises(StorageError, match=r"sources.parquet should hold a table .* remove it and"):
        read_stored(path)


def _dead() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def _left_behind(folder: Path) -> tuple[set[str], set[str]]:
    """What nobody works at any more, and what has to stay."""
    host = platform.node()[:16]
    dead = {f".run.json.{host}-{_dead()}.tmp", f".predict-x7_a.{host}-{_dead()}.tmp"}
    kept = {
        f".a.json.{host}-{os.getppid()}.tmp",
        f".a.json.other-node-{_dead()}.tmp",
        f"a.{host}-{_dead()}.tmp",
        ".lock",
    }
    for name in dead | kept:
        if "predict" in name:
            (folder / name).mkdir()
        (folder / name / "pixels" if "predict" in name else folder / name).write_text("")
    return dead, kept


def test_a_sweep_removes_what_dead_processes_of_this_machine_left(tmp_path: Path) -> None:
    dead, kept = _left_behind(tmp_path)
    assert {*os.listdir(tmp_path)} == dead | kept
    sweep(tmp_path)
    assert {*os.listdir(tmp_path)} == kept


def test_whoever_takes_a_lock_or_writes_removes_what_dead_processes_left(tmp_path: Path) -> None:
    for name in ("locked", "written", "scratch"):
        (tmp_path / name).mkdir()
        _, kept = _left_behind(tmp_path / name)
        if name == "locked":
            with hold_lock(tmp_path / name / ".lock", "training"):
                pass
        elif name == "written":
            write_json(tmp_path / name / "b.json", 1)
            kept |= {"b.json"}
        else:
            with scratch(tmp_path / name, "new") as folder:
                assert folder.parent == tmp_path / name
        assert {*os.listdir(tmp_path / name)} == kept


def test_a_scratch_folder_is_gone_when_its_block_fails(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no disk space left"), scratch(tmp_path, "new") as made:
        (made / "a").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


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
        "import sys\nfrom pathlib import Path\nfrom foldwise.store.files import hold_lock\n"
        "with hold_lock(Path(sys.argv[1]), 'the other', wait=False):\n"
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
        with hold_lock(path, "training", wait=False):
            pass
    holder.kill()
    holder.wait()
    with hold_lock(path, "training", wait=False):
        pass


def test_waiting_for_a_lock_is_said_with_the_number_of_its_holder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, taken, release = tmp_path / ".lock", threading.Event(), threading.Event()

    def hold() -> None:
        with hold_lock(path, "the other"):
            taken.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    assert is_locked(path)
    threading.Timer(0.3, release.set).start()
    with hold_lock(path, "training"):
        assert is_locked(path)
    thread.join()
    assert not is_locked(path)
    (line,) = caplog.messages
    assert line == (
        f"training is at work in another process (process {os.getpid()}); waiting for it"
    )


def test_a_lock_is_freed_by_another_thread_than_the_one_that_took_it(tmp_path: Path) -> None:
    stack = ExitStack()
    lock = hold_lock(tmp_path / ".lock", "a writer")
    thread = threading.Thread(target=stack.enter_context, args=[lock])
    thread.start()
    thread.join()
    assert is_locked(tmp_path / ".lock")
    stack.close()
    assert not is_locked(tmp_path / ".lock")


@pytest.mark.parametrize("size", [0, 5000])
def test_a_file_of_a_size_is_made_where_the_system_cannot_reserve_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    allocate(tmp_path / "pixels", size)
    assert (tmp_path / "pixels").stat().st_size == size
