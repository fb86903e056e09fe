"""Recompressed images come back whole: in any order of rows, transparent ones bit for bit."""

from itertools import pairwise

import numpy as np
import pytest

from foldwise.data.images.packed import PackedPixels, about, decode_pixels, encode_pixels


def waves(height: int, width: int, channels: int, phase: float = 0.0) -> np.ndarray:
    """A smooth image, uint8 (height, width, channels)."""
    y, x, c = np.meshgrid(*map(np.arange, (height, width, channels)), indexing="ij")
    return (127 + 100 * np.sin(x / 5 + y / 7 + c + phase)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_comes_back_nearly_as_it_was(channels: int) -> None:
    pixels = waves(13, 21, channels)
    again = decode_pixels(encode_pixels(pixels))
    assert again.shape == pixels.shape
    assert again.dtype == np.uint8
    assert np.abs(again.astype(int) - pixels).max() < 16


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_estimate_is_above_what_smooth_images_take(channels: int) -> None:
    for side in (16, 96):
        assert len(encode_pixels(waves(side, side, channels))) < about((1, side, side, channels))
    assert about((7, 9, 11, channels)) == pytest.approx(7 * about((1, 9, 11, channels)), abs=7)


def test_colours_are_kept_at_full_resolution() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, ::2] = (255, 0, 0)
    pixels[:, 1::2] = (0, 0, 255)
    again = decode_pixels(encode_pixels(pixels)).astype(int)
    assert np.abs(again - pixels).max() < 40  # with subsampled chroma it is more than 100


def test_transparent_images_are_kept_bit_for_bit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 21, 4)).astype(np.uint8)
    pixels[:5, :, 3] = 0  # colours below full transparency count too
    assert (decode_pixels(encode_pixels(pixels)) == pixels).all()


def test_rows_are_indexed_as_those_of_an_array() -> None:
    images = [waves(9, 7, 3, phase) for phase in range(5)]
    contents = [encode_pixels(image) for image in images]
    expected = np.stack([decode_pixels(content) for content in contents])
    order = [3, 0, 4, 1, 2]  # in the file
    lengths = np.array([len(content) for content in contents], np.uint32)
    starts = np.zeros(5, np.uint64)
    for before, row in pairwise(order):
        starts[row] = starts[before] + lengths[before]
    data = np.frombuffer(b"".join(contents[row] for row in order), np.uint8)
    pixels = PackedPixels(data, starts, lengths, (5, 9, 7, 3))
    assert len(pixels) == 5
    for rows in (np.array([4, 1, 1, 0]), slice(1, None, 2), np.array([], np.int64), slice(None)):
        assert (pixels[rows] == expected[rows]).all()
        assert pixels[rows].shape == expected[rows].shape
