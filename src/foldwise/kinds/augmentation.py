"""Augmentations: random changes of training images, each a kind."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Unpack

from foldwise.kinds.bounds import short
from foldwise.kinds.family import Context, DumpOptions, Family, Kind


class Augmentation(Kind):
    """A random change of training images, drawn anew for every image and epoch.

    It is one of three sorts, see `training/loading/augmentations/base.py`: it gives a part of the
    geometry, a part of the colour map, or changes pixels in place. All parts of a recipe together
    are one resampling and one multiply-add.

    main: the setting that a bare number or list stands for; empty where there is none. neutral:
    its value that changes nothing. draws: how many uniform numbers each image takes; they are
    drawn whether or not the image is changed.
    """

    main: ClassVar[str] = ""
    neutral: ClassVar[object] = 0.0
    draws: ClassVar[int] = 1

    name: str

    @property
    def idle(self) -> bool:
        """True where the settings say that no image is changed."""
        return bool(self.main) and getattr(self, self.main) == self.neutral

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse an image size (height, width) in pixels. Raises: ValueError: it does not do."""


class Augmentations(Family[Augmentation]):
    """The family: in TOML a kind's name is the key, its setting or table the value."""

    def tag(self, name: str, value: object, context: Context | None) -> object:
        """The table, its kind's name included, that a value under that name stands for.

        Raises: ValueError: no augmentation has the name, or the value cannot be its setting.
        """
        if isinstance(value, self.base):
            return value
        cls = self.load(name, context["own"] if context else None)
        if isinstance(value, Mapping):
            return {self.key: name, **value}
        if value is True:
            return {self.key: name}
        if not cls.main:
            example = f"{name} = true"
            raise ValueError(f"{name} should be true or false, e.g. {example}, got {short(value)}")
        return {self.key: name, cls.main: value}

    def dump(self, kind: Augmentation, **options: Unpack[DumpOptions]) -> object:
        """What TOML says under the kind's name: its main setting where no other one is changed."""
        changed = kind.model_dump(mode=options.get("mode", "python"), exclude_defaults=True)
        if changed.keys() - {kind.main}:
            return changed
        return changed.get(kind.main, True)

    def in_order(self, kinds: Iterable[Augmentation]) -> tuple[Augmentation, ...]:
        """Kinds in the order in which they are applied: foldwise's own as the table has them, then
        those of a competition by name."""
        order = [*self.known]
        return tuple(
            sorted(
                kinds,
                key=lambda kind: (
                    order.index(kind.name) if kind.name in order else len(order),
                    kind.name,
                ),
            )
        )


AUGMENTATIONS = Augmentations(
    base=Augmentation,
    key="name",
    package="foldwise.training.loading.augmentations",
    known={
        "warp": "geometry:Warp",
        "shift": "geometry:Shift",
        "hflip": "geometry:HorizontalFlip",
        "vflip": "geometry:VerticalFlip",
        "dihedral": "geometry:Dihedral",
        "rotate": "geometry:Rotate",
        "zoom": "geometry:Zoom",
        "crop": "geometry:Crop",
        "contrast": "colour:Contrast",
        "brightness": "colour:Brightness",
        "saturation": "colour:Saturation",
        "erase": "pixels:Erase",
    },
    called="augmentation",
)
