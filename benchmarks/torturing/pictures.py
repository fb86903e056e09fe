"""Malformed images of every format that Pillow writes, and folders with odd things in them."""

import functools
import io
import os
import random
import socket
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from torturing.mutating import WORDS, mutated

MODES = ("L", "RGB", "RGBA", "P", "1", "I;16", "I", "F", "CMYK", "LA")
EXIF_TAGS = (0x0112, 0x010E, 0x8769, 0x8825, 0x927C, 0xA005, 0x0201, 0x9286)


@functools.cache
def valid() -> tuple[tuple[str, bytes], ...]:
    """Images of every format that Pillow writes, in every mode that it takes: ending and bytes."""
    Image.init()
    endings = {form: ending for ending, form in sorted(Image.EXTENSION.items(), reverse=True)}
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 255, (24, 31, 3), dtype=np.uint8))
    made = []
    for form in sorted(Image.SAVE.keys() - {"PDF"}):  # which holds the time, and is never read
        for mode in MODES:
            buffer = io.BytesIO()
            try:
                image = (
                    pixels.convert("I").convert(mode) if mode == "I;16" else pixels.convert(mode)
                )
                with warnings.catch_warnings(action="ignore"):  # of formats that go
                    image.save(buffer, form, speed=10)  # AVIF's; others have none
            except Exception:  # a format raises what it likes for a mode that it does not take
                continue
            made.append((endings.get(form, ".png"), buffer.getvalue()))
    return tuple(made)


def malformed(rng: random.Random) -> tuple[str, bytes]:
    """An image's ending and bytes, malformed."""
    ending, data = rng.choice(valid())
    kind = rng.random()
    if kind < 0.12:
        ending, data = rng.choice((_with_exif, _huge_png, _bomb, _frames))(rng)
        if rng.random() < 0.3:
            data = mutated(data, rng)
    elif kind < 0.9:
        data = mutated(data, rng, rng.choice(valid())[1])
    elif kind < 0.93:
        data = rng.choice((b"", b"\x00" * 100, b"<html>", b"<svg/>", b"version https://git-lfs"))
    if rng.random() < 0.15:
        ending = rng.choice((".png", ".jpg", ".tif", ".webp", ".gif", ".bmp"))
    return ending, data


def _with_exif(rng: random.Random) -> tuple[str, bytes]:
    """A JPEG, PNG or WebP with odd EXIF: wrong types, wrong numbers, or its bytes damaged."""
    ending, form = rng.choice(((".jpg", "JPEG"), (".png", "PNG"), (".webp", "WEBP")))
    exif = Image.Exif()
    for tag in rng.sample(EXIF_TAGS[:2], rng.randrange(1, 3)):
        exif[tag] = rng.choice((0, 6, 8, 9, 65535, "x", b"\xff" * 9, (1, 2)))
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is odd on purpose
            data = exif.tobytes()
    except (struct.error, TypeError, ValueError, AttributeError):  # what this tag cannot hold
        data = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08"
    if rng.random() < 0.7:
        data = data[:6] + mutated(data[6:], rng)
    buffer = io.BytesIO()
    image = Image.new("RGB", (23, 17), (90, 20, 30))
    image.save(buffer, form, exif=data[:60_000])
    return ending, buffer.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png(width: int, height: int, depth: int, colour: int, *chunks: bytes) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + _chunk(b"IEND", b"")


def _huge_png(rng: random.Random) -> tuple[str, bytes]:
    """A PNG whose header says a huge size; perhaps with all its rows, which are one byte each."""
    width, height = rng.choice(
        (
            (1, 178_956_970),
            (178_956_970, 1),
            (2**31 - 1, 2**31 - 1),
            (13_000, 13_000),
            (0, 5),
            (5, 0),
            (65_535, 2),
            (1, 2**31 - 1),
            (30_000, 30_000),
        )
    )
    rows = zlib.compress(b"\x00" * min(4_000_000, height * (width + 1)), 9)
    return ".png", _png(
        width, height, rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 6)), _chunk(b"IDAT", rows)
    )


def _bomb(rng: random.Random) -> tuple[str, bytes]:
    """A PNG with a chunk that unpacks to 64 MB, or odd chunks."""
    name = rng.choice((b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"tRNS", b"PLTE"))
    data = b"a\x00\x00" + zlib.compress(b"\x00" * (64 << 20), 9)
    if rng.random() < 0.5:
        data = rng.randbytes(rng.randrange(60))
    rows = zlib.compress(b"\x00" * 9 * 8)
    return ".png", _png(8, 8, 8, 0, _chunk(name, data), _chunk(b"IDAT", rows))


def _frames(rng: random.Random) -> tuple[str, bytes]:
    """Many frames of several sizes' worth of pixels, in one file."""
    ending, form = rng.choice(
        ((".gif", "GIF"), (".webp", "WEBP"), (".tif", "TIFF"), (".png", "PNG"))
    )
    frames = [Image.new("L", (16, 16), shade) for shade in range(rng.choice((2, 40)))]
    buffer = io.BytesIO()
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
    return ending, buffer.getvalue()


def odd_folder(folder: Path, rng: random.Random) -> int:
    """Fill a folder of photos with malformed images and odd entries; returns their number."""
    folder.mkdir(parents=True)
    count = rng.randrange(3, 9)
    for number in range(count):
        ending, data = malformed(rng)
        (folder / f"p{number}{ending}").write_bytes(data)
    Image.new("L", (20, 20), 90).save(folder / "good.png")
    odd = 0
    while rng.random() < 0.4 and odd < 4:
        odd += _odd_entry(folder, rng, odd)
    return count + odd


def _odd_entry(folder: Path, rng: random.Random, number: int) -> int:
    """Put something odd into a folder; returns 1, or 0 where the disk cannot hold it."""
    place = folder / rng.choice((f"o{number}.png", f"o{number}"))
    kind = rng.randrange(8)
    try:
        if kind == 0:
            os.mkfifo(place)
        elif kind == 1:
            place.symlink_to(
                rng.choice((".", "..", place.name, "nowhere", "/dev/zero", "good.png"))
            )
        elif kind == 2:
            with socket.socket(socket.AF_UNIX) as bound:
                here = os.open(folder, os.O_RDONLY)  # paths of sockets are short
                bound.bind(f"/proc/self/fd/{here}/{place.name}")
                os.close(here)
        elif kind == 3:
            Path(os.fsdecode(os.fsencode(folder) + b"/b\xff\xfe%d.png" % number)).write_bytes(b"x")
        elif kind == 4:
            place.mkdir()
        elif kind == 5:
            name = rng.choice(WORDS).replace("/", "_").replace("\x00", "") or "x"
            (folder / f"{name[:200]}.png").write_bytes(b"x")
        elif kind == 6:
            (place.with_suffix("")).mkdir()
            (place.with_suffix("") / "up").symlink_to(folder)
        else:
            place.write_bytes(rng.choice(valid())[1])
            place.chmod(0)
    except (OSError, UnicodeError):
        return 0
    return 1
