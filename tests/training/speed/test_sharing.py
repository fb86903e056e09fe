"""Several trainings on one GPU: the part of its memory that each may take."""

import pytest
import torch

from foldwise.training.speed.sharing import part_of_gpu


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_half_a_gpu_has_no_room_for_more_than_half_of_its_memory() -> None:
    much = int(0.6 * torch.cuda.get_device_properties(0).total_memory)
    with part_of_gpu(0.5):
        with pytest.raises(torch.cuda.OutOfMemoryError):
            torch.empty(much, dtype=torch.uint8, device="cuda")
    assert len(torch.empty(much, dtype=torch.uint8, device="cuda")) == much


@pytest.mark.parametrize("part", [None, 0.0, 0.5, 1.0])
def test_without_a_gpu_there_is_nothing_to_share(
    part: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with part_of_gpu(part):
        assert torch.ones(2).sum() == 2
