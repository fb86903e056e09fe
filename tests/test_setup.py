"""`make setup` with stand-ins for Python, uv and df."""

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ["sh", "awk", "cat", "chmod", "cp", "dirname", "du", "flock", "grep", "mkdir", "mv"]
TOOLS += ["rm", "sha256sum", "shasum", "sleep", "tail", "touch"]

# A Python that is as old as PYTHON_VERSION says; what it is asked to do is written to CALLS.
PYTHON = """#!/bin/sh
case "$*" in
*version_info*) exec "$REAL_PYTHON" -c "import sys; sys.version_info = ($PYTHON_VERSION); $2" ;;
*_base_executable*) echo "$0"; exit ;;
"-c import venv, ensurepip") exit "${NO_VENV:-0}" ;;
"-c ") exit ;;
esac
echo "python $*" >>"$CALLS"
case "$*" in *"${FAILS:-never}"*) echo "ERROR: no $FAILS"; exit 1 ;; esac
case "$2" in
venv) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
pip)
    [ ! -e .venv/.foldwise ] || echo "the marker is there before the end" >>"$CALLS"
    sleep "${PIP_SECONDS:-0}"
    touch .venv/bin/foldwise; chmod +x .venv/bin/foldwise ;;
esac
"""

UV = """#!/bin/sh
echo "uv $*" >>"$CALLS"
case "$1" in
"${UV_FAILS:-}") echo "error: Failed to fetch" >&2; exit 2 ;;
venv) mkdir -p .venv/bin; cp "$STUBS/python3" .venv/bin/python ;;
pip) touch .venv/bin/foldwise; chmod +x .venv/bin/foldwise ;;
esac
"""

# df -Pk <folder>, for which PROJECT_SPACE and TEMP_SPACE say "<device> <KB free> <mount>"
DF = """#!/bin/sh
case "$2" in "$TMPDIR") set -- $TEMP_SPACE ;; *) set -- $PROJECT_SPACE ;; esac
echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
echo "$1 99 99 $2 50% $3"
"""

PLENTY = "/dev/disk 90000000 /"
INSTALL = "-c constraints.txt -e .[dev]"
PIP_INSTALL = f"python -m pip install --progress-bar off {INSTALL}"


class Project:
    """A copy of the bootstrap that sees no commands but the stand-ins and a few plain tools."""

    def __init__(self, root: Path) -> None:
        self.root, self.stubs, self.log = root / "my work", root / "my bin", root / "calls"
        self.env = {
            "PATH": str(self.stubs),
            "STUBS": str(self.stubs),
            "CALLS": str(self.log),
            "TMPDIR": str(root / "temp"),
            "PROJECT_SPACE": PLENTY,
            "TEMP_SPACE": PLENTY,
            "REAL_PYTHON": sys.executable,
            "PYTHON_VERSION": "3, 11, 0",
        }
        for folder in (self.root / "tools", self.stubs, root / "temp"):
            folder.mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/setup.sh"):
            shutil.copy(ROOT / name, self.root / name)
        for name in TOOLS:
            if path := shutil.which(name):
                (self.stubs / name).symlink_to(path)
        for name in ("python3.13", "python3.12", "python3.11", "python"):
            self.stub(name, "#!/bin/sh\nexit 127\n")
        self.stub("python3", PYTHON)
        self.stub("df", DF)

    def stub(self, name: str, text: str) -> None:
        path = self.stubs / name
        path.write_text(text)
        path.chmod(0o755)

    def setup(self, **env: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        command = ["sh", self.root / "tools/setup.sh"]
        return subprocess.run(command, env=self.env | env, capture_output=True, text=True)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    @property
    def marker(self) -> Path:
        return self.root / ".venv/.foldwise"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def refused(project: Project, **env: str) -> str:
    """The one line that setup refuses with, having written nothing."""
    done = project.setup(**env)
    assert (done.returncode, done.stdout, project.calls) == (1, "", [])
    assert re.fullmatch(r"setup: .*\n", done.stderr)
    assert not (project.root / ".venv").exists()
    return done.stderr


def test_setup_installs_with_pip_and_says_one_line(project: Project) -> None:
    done = project.setup()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Installing foldwise into .venv (about 6 GB, a few minutes) ...\n"
    assert project.calls == ["python -m venv .venv", PIP_INSTALL]
    assert project.marker.read_text().endswith(f"  {project.root}\n")


def test_a_second_setup_does_nothing_and_says_nothing(project: Project) -> None:
    project.setup()
    done = project.setup(PROJECT_SPACE="/dev/disk 0 /", TEMP_SPACE="/dev/disk 0 /")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert project.calls == []


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_changed_requirements_are_installed_into_the_same_venv(project: Project, name: str) -> None:
    project.setup()
    with (project.root / name).open("a") as file:
        file.write("# changed\n")
    assert project.setup(FAILS="install").returncode == 1
    assert project.setup().stdout == "Bringing .venv up to date ...\n"
    assert project.calls == ["python -m pip --version", PIP_INSTALL]
    assert project.setup().stdout == ""


def test_a_python_that_is_too_old_or_does_not_run_is_refused(project: Project) -> None:
    line = refused(project, PYTHON_VERSION="3, 10, 9")
    assert "Python 3.11 or newer" in line
    assert "found: python3 3.10.9, python3.13 does not run" in line
    assert "make setup PYTHON=" in line


def test_the_first_python_that_runs_and_is_new_enough_is_taken(project: Project) -> None:
    project.stub("python3", "#!/bin/sh\nexit 127\n")
    project.stub("python3.12", PYTHON)
    assert project.setup().returncode == 0
    assert project.calls[0] == "python -m venv .venv"


def test_a_python_named_by_the_user_is_the_only_candidate(project: Project) -> None:
    line = refused(project, PYTHON="/opt/no python/here")
    assert "found: /opt/no python/here does not run." in line


def test_a_missing_venv_module_is_named_with_its_remedy(project: Project) -> None:
    line = refused(project, NO_VENV="1")
    assert "venv and ensurepip" in line
    assert "(apt-get install python3-venv), or install uv" in line


@pytest.mark.parametrize(
    ("here", "temp"),
    [("/dev/a 6900000 /", "/dev/a 6900000 /"), ("/dev/a 6900000 /", "/dev/b 90000000 /tmp")],
)
def test_too_little_disk_is_refused(project: Project, here: str, temp: str) -> None:
    line = refused(project, PROJECT_SPACE=here, TEMP_SPACE=temp)
    assert f"needs 7 GB free in {project.root}, there are 6 GB. Make room, then run" in line


@pytest.mark.parametrize(
    ("here", "temp", "line"),
    [
        ("/dev/a 11900000 /", "/dev/a 11900000 /", "at most, it needs 12 GB free in {here}, there"),
        ("/dev/a 7000000 /", "/dev/a 7000000 /", "there are 7 GB (downloads in {temp} included)"),
        ("tmpfs 8100000 /a", "tmpfs 8100000 /a", "needs 12 GB free in {here}"),
        ("/dev/a 8100000 /", "/dev/b 3000000 /tmp", "it needs 4 GB free in {temp}, there are 3"),
        ("/dev/a 8100000 /", "/dev/b 3000000 /tmp", "Should it fail, set TMPDIR to another folder"),
        ("tmpfs 8100000 /a", "tmpfs 3000000 /b", "needs 4 GB free in {temp}"),
    ],
)
def test_a_disk_that_may_be_too_small_is_told_and_tried(
    project: Project, here: str, temp: str, line: str
) -> None:
    done = project.setup(PROJECT_SPACE=here, TEMP_SPACE=temp)
    assert done.returncode == 0
    assert line.format(here=project.root, temp=project.env["TMPDIR"]) in done.stderr
    assert done.stderr.count("\n") == 1
    assert project.marker.exists()


@pytest.mark.parametrize(
    ("here", "temp"),
    [("/dev/a 12000000 /", "/dev/a 12000000 /"), ("/dev/a 7000000 /", "/dev/b 4000000 /tmp")],
)
def test_enough_disk_is_not_spoken_of(project: Project, here: str, temp: str) -> None:
    done = project.setup(PROJECT_SPACE=here, TEMP_SPACE=temp)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_df_that_cannot_tell_stops_nothing(project: Project) -> None:
    project.stub("df", "#!/bin/sh\nexit 1\n")
    assert project.setup().returncode == 0


def test_uv_is_used_where_it_is_on_the_path(project: Project) -> None:
    project.stub("uv", UV)
    done = project.setup(NO_VENV="1")  # uv brings its own
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert project.calls == [
        f"uv venv --quiet --seed --python {project.stubs}/python3 .venv",
        f"uv pip install --python .venv/bin/python {INSTALL}",
    ]
    assert project.marker.exists()


@pytest.mark.parametrize("step", ["venv", "pip"])
def test_when_uv_fails_setup_says_so_and_starts_over_with_pip(project: Project, step: str) -> None:
    project.stub("uv", UV)
    done = project.setup(UV_FAILS=step)
    assert (done.returncode, done.stderr) == (0, "")
    line = "uv failed (error: Failed to fetch); starting over with pip ..."
    assert done.stdout.splitlines()[1:] == [line]
    assert project.calls[-2:] == ["python -m venv .venv", PIP_INSTALL]
    assert project.marker.exists()


@pytest.mark.parametrize("step", ["venv", "install"])
def test_a_failed_installation_shows_its_last_lines_and_the_next_starts_over(
    project: Project, step: str
) -> None:
    done = project.setup(FAILS=step)
    assert done.returncode == 1
    assert f"ERROR: no {step}\nsetup: the installation failed" in done.stderr
    assert (project.root / ".venv/install.log").read_text() == f"ERROR: no {step}\n"
    assert not project.marker.exists()
    (project.root / ".venv/half").touch()
    project.setup()
    assert project.marker.exists()
    assert not (project.root / ".venv/half").exists()


def test_a_venv_that_was_moved_with_the_project_is_replaced(project: Project) -> None:
    project.setup()
    project.root = project.root.rename(project.root.with_name("elsewhere"))
    project.setup()
    assert project.calls[0] == "python -m venv .venv"
    assert project.marker.read_text().endswith(f"  {project.root}\n")


@pytest.mark.skipif(not shutil.which("flock"), reason="without flock nothing guards .venv")
def test_of_two_setups_at_once_one_installs_and_the_other_waits(project: Project) -> None:
    project.env["PIP_SECONDS"] = "0.3"
    command = ["sh", project.root / "tools/setup.sh"]
    start = partial(subprocess.Popen, command, env=project.env, stdout=subprocess.PIPE, text=True)
    both = [start(), start()]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("Installing foldwise" in output for output in outputs) == 1
    assert project.calls.count(PIP_INSTALL) == 1
