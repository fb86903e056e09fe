"""What every verb does with signals, disks that refuse, and outputs that lack characters."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foldwise import cli
from foldwise.cli import app
from foldwise.cli.console import use_plain_characters
from foldwise.errors import Interrupted, terminate
from foldwise.training.fitting.checkpoint import Stop, interruptible
from foldwise.workspace import Workspace

SAYS = """
from foldwise.cli.console import say, tell, use_plain_characters
use_plain_characters()
say(["0.5 ± 0.1 …", "café ─│┌", "\\udcff"])
tell({"class": "café"}, True, [])
"""


def printed(encoding: str) -> str:
    """What SAYS prints where standard output has an encoding."""
    done = subprocess.run(
        [sys.executable, "-c", SAYS],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    return done.stdout.decode(encoding)


def test_an_output_that_lacks_characters_gets_plain_ones() -> None:
    assert printed("ascii") == (
        "0.5 +- 0.1 ...\ncaf\\xe9 -|+\n\\udcff\n" + '{\n  "class": "caf\\u00e9"\n}\n'
    )
    assert printed("latin-1").startswith("0.5 ± 0.1 ...\ncafé -|+\n")
    assert printed("utf-8").startswith("0.5 ± 0.1 …\ncafé ─│┌\n")


WARNS = """
import logging, warnings
from foldwise.cli.console import LOOK, app, verb

@verb(LOOK)
def warn() -> None:
    logging.getLogger("torch").addHandler(logging.StreamHandler())  # as torch does
    logging.getLogger("torch").propagate = False
    logging.getLogger("torch.utils.cpp_extension").warning("No CUDA runtime is found, CUDA_HOME=x")
    logging.getLogger("torch.utils.cpp_extension").warning("a torch of its own")
    logging.warning("Images sizes do not match. This will causes images to be display")
    logging.warning("a line of a library")
    warnings.warn("`torch.jit.script` is deprecated. Please switch", FutureWarning)
    warnings.warn("another feature is deprecated", FutureWarning)

app(["warn"])
"""


def test_warnings_that_no_user_can_act_on_are_left_out_and_no_others() -> None:
    done = subprocess.run([sys.executable, "-c", WARNS], capture_output=True, text=True)
    assert done.returncode == 0
    for text in ("a torch of its own", "warning a line of a library", "another feature is"):
        assert text in done.stderr
    for text in ("CUDA_HOME", "Images sizes", "torch.jit.script"):
        assert text not in done.stderr


def test_help_can_be_printed_in_ascii() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "foldwise", "--help"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"submit" in done.stdout


def test_a_stream_of_another_kind_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    use_plain_characters()


def test_a_closed_pipe_ends_a_verb_quietly(workspace: Workspace) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "foldwise", "list", "--json"],
        cwd=workspace.root,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("submit.submit", ["submit", "tiny"]),
        ("blend.blend", ["blend", "tiny"]),
        ("predict.predict", ["predict", "some-run", "photos"]),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_verb_in_one_line(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    words: list[str],
    number: signal.Signals,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(f"foldwise.commands.{function}", lambda *args: os.kill(os.getpid(), number))
    done = CliRunner().invoke(app, [*words, "--root", str(workspace.root)])
    assert done.exit_code == 128 + number
    assert done.stderr == "stopped; what was finished is kept, and the same command goes on\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_training_that_sigterm_stopped_after_saving_says_so_with_its_exit_code(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*args: object) -> None:
        stop = Stop()
        with interruptible(stop):
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is terminate
        raise Interrupted("everything is saved", stop.number)

    monkeypatch.setattr("foldwise.commands.train.train", train)
    done = CliRunner().invoke(app, ["train", "tiny", "--root", str(workspace.root)])
    assert (done.exit_code, done.stderr) == (143, "everything is saved\n")


def test_outside_a_verb_a_training_leaves_sigterm_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible(Stop()):
        assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_that_is_to_be_ignored_stays_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def catalogue(where: Workspace) -> list[dict[str, object]]:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        return []

    monkeypatch.setattr("foldwise.commands.catalogue.catalogue", catalogue)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        done = CliRunner().invoke(app, ["list", "--root", str(workspace.root)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.exit_code == 0


def test_what_a_disk_refuses_anywhere_is_one_line_and_exit_code_1(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def catalogue(where: Workspace) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(Path("x") / "y.toml"))

    monkeypatch.setattr("foldwise.commands.catalogue.catalogue", catalogue)
    done = CliRunner().invoke(app, ["list", "--root", str(workspace.root)])
    assert done.exit_code == 1
    assert done.stderr.startswith("error x/y.toml cannot be read or written (Permission denied);")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_before_the_verb_begins_is_a_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "stopped\n"
