"""Geometry of a batch: parameters per image, their maps, and one resampling through them."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

from foldwise.config.recipe import Augment
from foldwise.training.loading.draws import Draws, log_uniform, sides, signed
from foldwise.training.speed.precision import sent

PREFILTER = 1.5  # images that shrink more than this are first averaged down to it
# The eight symmetries of the square in fastai's order (vision/augment.py, dihedral_mat, 2.8.12):
# as is, mirrored, upside down, a quarter turn, a half turn, the other quarter, two transpositions.
DIHEDRAL = (
    ((1, 0), (0, 1)),
    ((-1, 0), (0, 1)),
    ((1, 0), (0, -1)),
    ((0, -1), (1, 0)),
    ((-1, 0), (0, -1)),
    ((0, 1), (-1, 0)),
    ((0, 1), (1, 0)),
    ((0, -1), (-1, 0)),
)
HORIZON = 0.05  # a warp's denominator is no less: points beyond its horizon are taken from near it


class Geometry(NamedTuple):
    """What happens to each image's geometry, every field (n,); coordinates run from -1 to 1."""

    flip_x: torch.Tensor  # 1 or -1
    flip_y: torch.Tensor
    dihedral: torch.Tensor  # index into DIHEDRAL
    warp_x: torch.Tensor  # by how much the left edge gets longer, and the right one shorter
    warp_y: torch.Tensor  # likewise the top and the bottom edge
    angle: torch.Tensor  # radians, clockwise
    zoom: torch.Tensor  # factor; above 1 shows less
    shift_x: torch.Tensor  # of the middle
    shift_y: torch.Tensor
    crop_width: torch.Tensor  # share of the image's width
    crop_height: torch.Tensor
    crop_x: torch.Tensor  # the region's middle
    crop_y: torch.Tensor


def drawn(augment: Augment, u: Draws) -> Geometry:
    """The parameters that a recipe makes of uniform draws."""
    p, one = augment.p_affine, torch.ones_like(u.zoom)
    shift = 2 * augment.shift  # a share of a side that is 2 long
    width, height = one, one
    if augment.crop is not None:
        area = augment.crop[0] + u.crop_area * (augment.crop[1] - augment.crop[0])
        width, height = sides(area, log_uniform(u.crop_ratio, *augment.crop_ratio))
    return Geometry(
        flip_x=torch.where((u.hflip < 0.5) & augment.hflip, -one, one),
        flip_y=torch.where((u.vflip < 0.5) & augment.vflip, -one, one),
        dihedral=(u.dihedral * 8 * augment.dihedral).long(),
        warp_x=signed(u.warp_x, u.warp_x_chance, p) * augment.warp,
        warp_y=signed(u.warp_y, u.warp_y_chance, p) * augment.warp,
        angle=signed(u.rotate, u.rotate_chance, p) * math.radians(augment.rotate),
        zoom=torch.where(u.zoom_chance < p, log_uniform(u.zoom, *augment.zoom), one),
        shift_x=signed(u.shift_x, u.shift_chance, p) * shift,
        shift_y=signed(u.shift_y, u.shift_chance, p) * shift,
        crop_width=width,
        crop_height=height,
        crop_x=(2 * u.crop_x - 1) * (1 - width),
        crop_y=(2 * u.crop_y - 1) * (1 - height),
    )


def moves(augment: Augment) -> bool:
    """Whether a recipe changes any geometry."""
    return bool(
        augment.hflip
        or augment.vflip
        or augment.dihedral
        or augment.crop
        or augment.rotate
        or augment.zoom != (1, 1)
        or augment.shift
        or augment.warp
    )


def homographies(geometry: Geometry, size: tuple[int, int]) -> torch.Tensor:
    """Maps (n, 3, 3) from output to input coordinates, x and y from -1 to 1.

    The order is that of fastai's aug_transforms. Seen as changes of the image: warp, shift, flip
    or dihedral, rotation, zoom, crop. fastai multiplies its affine matrices in the order of its
    list (flip, rotation, zoom), so that the last meets the output's coordinates first; its warp
    is a function of the coordinates that come out (AffineCoordTfm, `coord_fs`); its crop is a
    transform of its own after that. A zoom off the centre there is a zoom and a shift here.

    size: the output's (height, width); a rotation turns its pixels, not normalised coordinates.
    """
    one, zero = torch.ones_like(geometry.zoom), torch.zeros_like(geometry.zoom)

    def matrix(*entries: torch.Tensor) -> torch.Tensor:
        return torch.stack(entries, dim=1).view(-1, 3, 3)

    flip_x, flip_y, scale = geometry.flip_x, geometry.flip_y, 1 / geometry.zoom
    cos, sin, aspect = geometry.angle.cos(), geometry.angle.sin(), size[1] / size[0]
    (a, b), (c, d) = torch.tensor(DIHEDRAL, dtype=one.dtype)[geometry.dihedral].permute(1, 2, 0)
    # products of 3 by 3 matrices, a few dozen of them: not worth a formula
    maps = perspectives(geometry.warp_x, geometry.warp_y)
    for each in (
        matrix(one, zero, geometry.shift_x, zero, one, geometry.shift_y, zero, zero, one),
        matrix(flip_x, zero, zero, zero, flip_y, zero, zero, zero, one),
        matrix(a, b, zero, c, d, zero, zero, zero, one),
        matrix(cos, sin / aspect, zero, -sin * aspect, cos, zero, zero, zero, one),
        matrix(scale, zero, zero, zero, scale, zero, zero, zero, one),
        matrix(
            geometry.crop_width,
            zero,
            geometry.crop_x,
            zero,
            geometry.crop_height,
            geometry.crop_y,
            zero,
            zero,
            one,
        ),
    ):
        maps = maps @ each
    return maps


def perspectives(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """fastai's warps as matrices (n, 3, 3).

    fastai's `find_coeffs` solves eight equations for the map that takes the corners (-1-y, -1-x),
    (-1+y, 1+x), (1+y, -1+x), (1-y, 1-x) to those of the square; this is their solution.
    """
    k = 1 - x * x - y * y
    right, down = -x * (1 + y * y - x * x), -y * (1 + x * x - y * y)
    entries = (k, 2 * x * y, right, 2 * x * y, k, down, right, down, k)
    return torch.stack([entry / k for entry in entries], dim=1).view(-1, 3, 3)


def resampled(
    images: torch.Tensor,
    maps: torch.Tensor | None,
    size: tuple[int, int],
    padding: str = "reflection",
) -> torch.Tensor:
    """The batch (n, c, h, w) through its maps (n, 3, 3; on the CPU) at size (height, width).

    One bilinear sampling, after an area average of the images that shrink more than PREFILTER,
    since sampling alone would alias. The very batch where there is no map and the size fits.
    """
    if maps is None:
        if tuple(images.shape[2:]) == tuple(size):
            return images
        maps = torch.eye(3).expand(len(images), 3, 3)
    limits = prefilters(maps, tuple(images.shape[2:]), size)
    kept, members = limits.unique(dim=0, return_inverse=True)
    if len(kept) == 1:
        return sampled(averaged(images, kept[0].tolist()), maps, size, padding)
    out = images.new_empty(*images.shape[:2], *size)
    for number, limit in enumerate(kept.tolist()):
        group = (members == number).nonzero()[:, 0]
        at = sent(group, images.device)
        part = images.new_empty(len(group), *images.shape[1:])  # channels first: averaged faster
        torch.index_select(images, 0, at, out=part)
        out[at] = sampled(averaged(part, limit), maps[group], size, padding)
    return out


def resampled_bytes(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The batch uint8 (n, c, h, w) as `resampled` brings it to a size without maps, rounded."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    limit = prefilters(torch.eye(3)[None], tuple(images.shape[2:]), size)[0].tolist()
    return F.interpolate(averaged(images, limit), size, mode="bilinear", align_corners=False)


def prefilters(maps: torch.Tensor, of: tuple[int, ...], to: tuple[int, int]) -> torch.Tensor:
    """The size (n, 2) to which each image is averaged before it is sampled.

    By each image's own map: a random crop that is enlarged must stay as sharp as the cache has
    it, and a zoom below 1 shrinks more than the sizes tell. An image without zoom is treated as
    validation images are. Scales are rounded to quarters of an octave, to make few groups.
    """
    # the area that a pixel stands for in the middle: the determinant of the map's Jacobian there
    area = torch.linalg.det(maps).abs() / maps[:, 2, 2].abs() ** 3
    scale = torch.exp2((area.double().log2() * 2).round() / 4)
    limits = (PREFILTER * torch.tensor(to) / scale[:, None]).ceil().clamp(min=1).long()
    return torch.minimum(limits, torch.tensor(of))


def grid(
    maps: torch.Tensor, size: tuple[int, int], on: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Where each output pixel is taken from, (n, height, width, 2), for `grid_sample`.

    Columns plus rows: a third of the time of `affine_grid` on two cores.
    """
    flat = not maps[:, 2, :2].any()
    maps = sent((maps[:, :2] if flat else maps).to(dtype), on)
    y, x = ((2 * torch.arange(n, device=on, dtype=dtype) + 1) / n - 1 for n in size)
    rows = maps[:, :, 1:2] * y + maps[:, :, 2:]  # (n, 2 or 3, height)
    points = rows[:, :, :, None] + (maps[:, :, :1] * x)[:, :, None, :]
    if not flat:
        points = points[:, :2].div_(points[:, 2:].clamp_(min=HORIZON))
    return points.permute(0, 2, 3, 1)


def averaged(images: torch.Tensor, size: list[int]) -> torch.Tensor:
    """The images averaged down to a size; themselves where they have it."""
    if size == list(images.shape[2:]):
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def sampled(
    images: torch.Tensor, maps: torch.Tensor, size: tuple[int, int], padding: str
) -> torch.Tensor:
    """The images through their maps at a size, by one bilinear sampling."""
    points = grid(maps, size, images.device, images.dtype)
    return F.grid_sample(images, points, "bilinear", padding, align_corners=False)
