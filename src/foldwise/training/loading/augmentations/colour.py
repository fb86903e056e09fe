"""Augmentations of colour: contrast, brightness, saturation."""

from typing import TYPE_CHECKING, ClassVar, Literal

from foldwise.kinds.bounds import Part, Share
from foldwise.training.loading.augmentations.base import Colouring, ColourMap

if TYPE_CHECKING:
    from torch import Tensor


class Contrast(Colouring):
    """A change of contrast about mid-grey."""

    main: ClassVar[str] = "amount"
    draws: ClassVar[int] = 2

    name: Literal["contrast"] = "contrast"
    amount: Part  # A factor is drawn from 1 - `amount` to 1 + `amount`. Example: 0.2
    p: Share = 1.0  # The chance that an image is changed. Example: 0.75

    def colours(self, u: "Tensor") -> ColourMap:
        """See `Colouring`."""
        from foldwise.training.loading.draws import signed_draws

        factor = 1 + signed_draws(u[0], u[1], self.p) * self.amount
        return ColourMap(factor=factor, offset=0.5 * (1 - factor))


class Brightness(Colouring):
    """A change of brightness, added to all channels."""

    main: ClassVar[str] = "amount"
    draws: ClassVar[int] = 2

    name: Literal["brightness"] = "brightness"
    amount: Share  # The share of the range from black to white; drawn from ±`amount`. Example: 0.1
    p: Share = 1.0  # The chance that an image is changed. Example: 0.75

    def colours(self, u: "Tensor") -> ColourMap:
        """See `Colouring`."""
        import torch

        from foldwise.training.loading.draws import signed_draws

        offset = signed_draws(u[0], u[1], self.p) * self.amount
        return ColourMap(factor=torch.ones_like(offset), offset=offset)


class Saturation(Colouring):
    """A change of saturation; grey images stay as they are."""

    main: ClassVar[str] = "amount"
    draws: ClassVar[int] = 2

    name: Literal["saturation"] = "saturation"
    amount: Share  # A factor is drawn from 1 - `amount` to 1 + `amount`; 0 is grey. Example: 0.2
    p: Share = 1.0  # The chance that an image is changed. Example: 0.75

    def colours(self, u: "Tensor") -> ColourMap:
        """See `Colouring`."""
        import torch

        from foldwise.training.loading.draws import signed_draws

        blend = 1 + signed_draws(u[0], u[1], self.p) * self.amount
        return ColourMap(factor=torch.ones_like(blend), offset=torch.zeros_like(blend), blend=blend)
