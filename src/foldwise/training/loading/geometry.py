"""Geometry of a batch: maps per image, and one resampling through them."""

import torch
import torch.nn.functional as F

from foldwise.training.speed.precision import send

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


def regions(
    width: torch.Tensor | None = None,
    height: torch.Tensor | None = None,
    x: torch.Tensor | None = None,
    y: torch.Tensor | None = None,
) -> torch.Tensor:
    """Maps to a part of each image, (n, 3, 3): its width and height as shares of the image's, its
    middle. Each (n,); by default the whole image's. A side below 0 is mirrored."""
    given = next(each for each in (width, height, x, y) if each is not None)
    one, zero = torch.ones_like(given), torch.zeros_like(given)
    width, height = (one if each is None else each for each in (width, height))
    x, y = (zero if each is None else each for each in (x, y))
    return _matrices(width, zero, x, zero, height, y, zero, zero, one)


def rotations(angle: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Clockwise turns by angles (n,) in radians as maps (n, 3, 3).

    size: the output's (height, width); its pixels are turned, not normalised coordinates.
    """
    cos, sin, aspect = angle.cos(), angle.sin(), size[1] / size[0]
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    return _matrices(cos, sin / aspect, zero, -sin * aspect, cos, zero, zero, zero, one)


def symmetries(index: torch.Tensor) -> torch.Tensor:
    """Symmetries of the square as maps (n, 3, 3). index: into DIHEDRAL, (n,)."""
    maps = torch.eye(3).repeat(len(index), 1, 1)
    maps[:, :2, :2] = torch.tensor(DIHEDRAL, dtype=maps.dtype)[index]
    return maps


def _matrices(*entries: torch.Tensor) -> torch.Tensor:
    """Matrices (n, 3, 3) of nine entries (n,), row by row."""
    return torch.stack(entries, dim=1).view(-1, 3, 3)


def perspectives(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """fastai's warps as matrices (n, 3, 3).

    fastai's `find_coeffs` solves eight equations for the map that takes the corners (-1-y, -1-x),
    (-1+y, 1+x), (1+y, -1+x), (1-y, 1-x) to those of the square; this is their solution.
    """
    k = 1 - x * x - y * y
    right, down = -x * (1 + y * y - x * x), -y * (1 + x * x - y * y)
    entries = (k, 2 * x * y, right, 2 * x * y, k, down, right, down, k)
    return _matrices(*(entry / k for entry in entries))


def resample(
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
        return sample(average_down(images, kept[0].tolist()), maps, size, padding)
    out = images.new_empty(*images.shape[:2], *size)
    for number, limit in enumerate(kept.tolist()):
        group = (members == number).nonzero()[:, 0]
        at = send(group, images.device)
        part = images.new_empty(len(group), *images.shape[1:])  # channels first: averaged faster
        torch.index_select(images, 0, at, out=part)
        out[at] = sample(average_down(part, limit), maps[group], size, padding)
    return out


def resampled_bytes(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The batch uint8 (n, c, h, w) as `resample` brings it to a size without maps, rounded."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    limit = prefilters(torch.eye(3)[None], tuple(images.shape[2:]), size)[0].tolist()
    return F.interpolate(average_down(images, limit), size, mode="bilinear", align_corners=False)


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
    maps = send((maps[:, :2] if flat else maps).to(dtype), on)
    y, x = ((2 * torch.arange(n, device=on, dtype=dtype) + 1) / n - 1 for n in size)
    rows = maps[:, :, 1:2] * y + maps[:, :, 2:]  # (n, 2 or 3, height)
    points = rows[:, :, :, None] + (maps[:, :, :1] * x)[:, :, None, :]
    if not flat:
        points = points[:, :2].div_(points[:, 2:].clamp_(min=HORIZON))
    return points.permute(0, 2, 3, 1)


def average_down(images: torch.Tensor, size: list[int]) -> torch.Tensor:
    """The images averaged down to a size; themselves where they have it."""
    if size == list(images.shape[2:]):
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def sample(
    images: torch.Tensor, maps: torch.Tensor, size: tuple[int, int], padding: str
) -> torch.Tensor:
    """The images through their maps at a size, by one bilinear sampling."""
    points = grid(maps, size, images.device, images.dtype)
    return F.grid_sample(images, points, "bilinear", padding, align_corners=False)
