"""Pretrained weights come from the hub whole, or a line says why not and what to do."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save

from foldwise.config.recipe import SettledRecipe
from foldwise.errors import StorageError, WeightsError
from foldwise.store.files import sha256_file
from foldwise.training.models import pretrained
from foldwise.training.models.building import build_model
from foldwise.training.models.pretrained import WeightsSource, hub_file, source_of
from foldwise.training.models.weights import load_state
from foldwise.workspace import Workspace
from standin.hub import Hub, serving

MODEL, REPOSITORY = "test_resnet.r160_in1k", "timm/test_resnet.r160_in1k"
PATH = f"{REPOSITORY}/resolve/main/model.safetensors"


def weights(model: str = "test_resnet", **options: int) -> bytes:
    state = timm.create_model(model, **options).state_dict()
    return save({name: tensor.contiguous() for name, tensor in state.items()})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with one model, the only one that there is; nothing is cached."""
    with serving(Hub({PATH: weights()})) as running:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            running.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        yield running


def build(model: str = MODEL) -> torch.nn.Module:
    recipe = {"name": "r", "model": model, "image_size": 32, "stage": [{"epochs": 1, "lr": 1e-3}]}
    return build_model(SettledRecipe.model_validate(recipe), 3, 3)


def message(model: str = MODEL) -> str:
    with pytest.raises(WeightsError) as caught:
        hub_file(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "kind", [{}, {"plain": True}, {"plain": True, "head": False}], ids=["hub", "files", "no HEAD"]
)
def test_weights_are_downloaded_once_from_a_hub_or_whatever_serves_its_files(
    hub: Hub, kind: dict[str, bool]
) -> None:
    vars(hub).update(kind)
    path = hub_file(MODEL)
    assert path.read_bytes() == hub.files[PATH]
    requests = len(hub.asked)
    assert hub_file(MODEL) == path
    assert len(hub.asked) == requests
    state = load_state(path)
    assert torch.equal(build().state_dict()["conv1.0.weight"], state["conv1.0.weight"])


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "", ["(401)", "set HF_TOKEN to a valid token that may read"]),
        (401, "GatedRepo", ["refuses access (401)", "accept the terms at http://", "HF_TOKEN"]),
        (403, "", ["refuses access (403)", f"/{REPOSITORY}, set HF_TOKEN", "accept the terms at"]),
        (404, "RepoNotFound", ["has no such model (404", "another model or weights tag"]),
        (404, "", ["has no such model (404", "HF_ENDPOINT"]),
        (429, "", ["too many requests (429)", "wait some minutes"]),
        (503, "", ["out of order (it answers 503)", "wait some minutes"]),
        (418, "", ["answers 418 for http://", "look at that page"]),
    ],
)
def test_a_refusal_says_what_to_do(hub: Hub, status: int, code: str, words: list[str]) -> None:
    hub.status, hub.code = status, code
    text = message()
    for part in [*words, MODEL, "model.safetensors", 'weights = "none"', 'weights = "<path']:
        assert part in text
    assert len(hub.asked) == 1  # nothing is tried again


def test_the_offline_switch_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "(HF_HUB_OFFLINE is set). Ways out: 1. unset it" in message()
    assert hub.asked == []


def test_a_sign_in_page_in_the_hubs_place_is_named_and_not_kept(hub: Hub) -> None:
    hub.page = True
    text = message()
    for part in ("are damaged", "it is a web page", "it was removed", hub.url, "sign-in page"):
        assert part in text
    hub.page = False
    assert hub_file(MODEL).read_bytes() == hub.files[PATH]


DAMAGES = {
    "shorter": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: content[:-64] + bytes(64),
    "other": lambda content: save({"x": torch.ones(3)}),
    "pointer": lambda content: b"version https://git-lfs.github.com/spec/v1\n",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_in_the_cache_is_named_removed_and_downloaded_by_the_next_command(
    hub: Hub, kind: str
) -> None:
    path = hub_file(MODEL)
    path.resolve().write_bytes(DAMAGES[kind](hub.files[PATH]))
    text = message()
    for part in (str(path), "it was removed: run the same command again"):
        assert part in text
    assert hub_file(MODEL).read_bytes() == hub.files[PATH]


def test_a_cache_that_lost_the_content_of_a_file_is_filled_again(hub: Hub) -> None:
    hub_file(MODEL).resolve().unlink()
    assert hub_file(MODEL).read_bytes() == hub.files[PATH]


def test_a_damaged_file_that_cannot_be_removed_is_to_be_removed_by_hand(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hub_file(MODEL)
    path.resolve().write_bytes(b"half")

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert "); remove it and run the same command again" in message()


def test_a_file_that_may_not_be_read_is_not_taken_for_damaged(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hub_file(MODEL)

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("foldwise.training.models.weights.safe_open", refuse)
    with pytest.raises(StorageError, match=r"Permission denied; see that you may read it"):
        hub_file(MODEL)
    assert path.is_file()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only"),
        RuntimeError("Data processing error: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_cache_without_room_or_rights_is_no_missing_network(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(pretrained, "hf_hub_download", fail)
    with pytest.raises(StorageError, match=r"cannot be kept in .*hub \(.*set HF_HOME to a folder"):
        hub_file(MODEL)


@pytest.mark.parametrize(
    "content",
    [weights("test_resnet", in_chans=4), save({"stem.other": torch.ones(2, 2)})],
    ids=["shapes", "names"],
)
def test_weights_of_another_model_are_never_left_out_in_silence(hub: Hub, content: bytes) -> None:
    hub.files[PATH] = content
    with pytest.raises(WeightsError, match=r"tensors are those of another one; remove that file"):
        build()


def test_weights_that_lie_outside_the_hub_are_downloaded_from_there(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert source_of("gcvit_tiny.in1k").repository is None
    torch.save({"x": torch.ones(3)}, tmp_path / "net.pth")
    hub.files["net.pth"] = (tmp_path / "net.pth").read_bytes()
    source = WeightsSource("net", None, "net.pth", f"{hub.url}/net.pth")
    monkeypatch.setattr(pretrained, "source_of", lambda model: source)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    path = hub_file("net")
    assert path == tmp_path / "torch" / "checkpoints" / "net.pth"
    assert hub_file("net") == path
    assert hub.asked == ["GET /net.pth"]
    path.unlink()
    hub.files.clear()
    assert f"127.0.0.1:{hub.url.rpartition(':')[2]} has no such model (404" in message("net")


@pytest.mark.slow
def test_a_line_that_breaks_within_the_file_is_one_line(hub: Hub) -> None:
    hub.cut = 1000
    assert "the hub cannot be reached" in message()
    hub.cut = None
    assert hub_file(MODEL).is_file()


def test_a_run_takes_its_weights_from_the_hub_that_the_environment_names(
    hub: Hub, workspace: Workspace, tmp_path: Path
) -> None:
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "own")}
    del env["HF_HUB_OFFLINE"]
    command = [
        sys.executable,
        "-m",
        "foldwise",
        "train",
        "tiny",
        "--fold",
        "0",
        "--no-track",
        "--set",
        f"model={MODEL}",
        "--set",
        "weights=auto",
    ]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, env=env)

    hub.page = True
    failed = run()
    assert failed.returncode == 1
    assert "it is a web page" in failed.stderr
    assert "Traceback" not in failed.stderr
    hub.page = False
    assert run().returncode == 0
    [kept] = (tmp_path / "own").rglob("model.safetensors")
    assert sha256_file(kept) == kept.resolve().name
