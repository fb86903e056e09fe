"""The script for a GPU: a part that fails or has no time stops no other; it runs dry anywhere."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import gpu
from sides import covered

# compiling is not among them: a busy machine has no time for it
NAMES = {
    "gpu_tests_pass",
    "test_resnet_bf16",
    "test_resnet_fp16_is_finite",
    "resume_fp16_same_bytes",
    "test_resnet_vs_bare_step",
    "test_convnext_busy",
    "test_resnet_peak_memory",
    "test_resnet_views_vs_plain",
    "test_resnet_auto_batch",
}


def script(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, repository / "benchmarks" / "gpu.py", *words]
    return subprocess.run(command, capture_output=True, text=True)


def rows(part: gpu.Part, seconds: float = 600) -> list[dict[str, object]]:
    return [*gpu.measured("part", part, time.monotonic() + seconds)]


def test_a_figure_is_short_below_its_bar() -> None:
    def part() -> Iterator[gpu.Figure]:
        yield from (
            gpu.Figure("a", 0.9, "", 0.92),
            gpu.Figure("b", 0.92, "", 0.92),
            gpu.Figure("c", 5.0, "GB"),
        )

    assert [row["verdict"] for row in rows(part)] == ["short", "ok", ""]
    assert {"commit", "torch", "gpu", "cuda"} <= {*rows(part)[0]}


def test_a_part_that_fails_is_a_row_after_what_it_has_measured() -> None:
    def part() -> Iterator[gpu.Figure]:
        yield gpu.Figure("a", 1.0, "s")
        raise RuntimeError("CUDA error: an illegal access\nand advice")

    last = rows(part)[-1]
    assert (last["name"], last["verdict"]) == ("part", "failed")
    assert last["detail"] == "RuntimeError: CUDA error: an illegal access"
    assert len(rows(part)) == 2


@pytest.mark.parametrize("seconds", [0.05, -1.0])
def test_a_part_without_time_is_left_out(seconds: float) -> None:
    def part() -> Iterator[gpu.Figure]:
        time.sleep(600)
        yield gpu.Figure("a", 1.0, "s")

    assert [row["verdict"] for row in rows(part, seconds)] == ["left out"]


def test_spans_that_overlap_count_once() -> None:
    assert covered([(5, 6), (0, 2), (1, 3), (1.5, 2.5), (8, 8)]) == 4
    assert covered([]) == 0


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_is_one_line(repository: Path) -> None:
    done = script(repository)
    assert done.returncode == 1
    assert "gpu: expected a CUDA device, torch finds none" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_every_part_runs_with_tiny_models(repository: Path) -> None:
    done = script(repository, "--dry", "--seconds", "3600")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(" ") for line in done.stdout.splitlines()]
    assert {line[0] for line in lines} >= NAMES
    assert ", 0 failed" in done.stdout
    ok = [line[0] for line in lines if "ok" in line]
    assert {"resume_bf16_same_bytes", "resume_fp16_same_bytes", "test_resnet_bf16_is_finite"} <= {
        *ok
    }
