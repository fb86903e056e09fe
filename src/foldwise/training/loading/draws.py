"""Random numbers of batches: streams by name, and what is made of uniform draws."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch

from foldwise.store.files import sha256_json


def stream(*place: int | str) -> int:
    """A 31-bit seed that depends on every part of a place such as (seed, fold, "shuffle", 3)."""
    return int(sha256_json(list(place))[:8], 16) & 0x7FFFFFFF


class Streams:
    """Random streams by name, drawn from on the CPU: the numbers are the same on every device.

    What draws has a stream of its own, so that one more of them, or one less, leaves the numbers
    of the others as they were.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.generators = {name: torch.Generator() for name in names}
        self.begin(stream)

    def begin(self, seed_of: Callable[[str], int]) -> None:
        """Begin every stream anew, at the seed of its name; training does so at each epoch."""
        for name, generator in self.generators.items():
            generator.manual_seed(seed_of(name))

    def uniform(self, name: str, images: int, draws: int) -> torch.Tensor:
        """Uniform numbers in 0..1 of a stream, (draws, images), drawn image by image."""
        return torch.rand(images, draws, generator=self.generators[name]).T

    def states(self) -> dict[str, torch.Tensor]:
        """Where every stream is."""
        return {name: generator.get_state() for name, generator in self.generators.items()}

    def go_to(self, states: Mapping[str, torch.Tensor]) -> None:
        """Bring every stream to where it was. states: those of others may be among them."""
        for name, generator in self.generators.items():
            generator.set_state(states[name])


def signed_draws(u: torch.Tensor, chance: torch.Tensor, p: float) -> torch.Tensor:
    """Numbers from -1 to 1, and 0 for images whose chance is not below p."""
    return torch.where(chance < p, 2 * u - 1, 0.0)


def log_uniform(u: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Numbers from low to high, as likely to be twice as large as half as large."""
    return low * torch.exp(u * math.log(high / low))


def sides(area: torch.Tensor, ratio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Width and height, as shares of an image's own, of rectangles of an area share.

    ratio: width over height in those shares. It gives way where a side would be longer than the
    image, so that the area stays what was drawn.
    """
    ratio = torch.minimum(torch.maximum(ratio, area), 1 / area)
    return (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
