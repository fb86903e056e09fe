"""Whatever lies in an image file, it is an image or one line that names it."""

import io
import os
import re
import socket
import struct
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foldwise.data.images.decoding import decode, load_image, pixel_digest
from foldwise.data.images.opening import Room
from foldwise.data.images.readers.pillow import FORMATS, MORE_FORMATS, PillowReader
from foldwise.errors import ImageError
from foldwise.tables.listing import is_image

RNG = np.random.default_rng(0)
NOISY = Image.fromarray(RNG.integers(30, 255, (40, 24, 3), np.uint8))


def encoded(form: str, image: Image.Image = NOISY, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, colour: int, bits: int, rows: bytes, interlaced: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def with_exif(block: bytes) -> bytes:
    return encoded("JPEG", exif=b"Exif\0\0" + block)


@pytest.mark.parametrize(
    "block",
    [
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\xff\xff\xff\xff\0\0\0\0",  # its values lie nowhere
        b"II*\0\x08\0\0\0\xff\xff",  # as many tags as there can be, and none there
        b"rubbish",
        b"",
    ],
)
def test_a_damaged_exif_block_leaves_the_picture_as_it_lies(tmp_path: Path, block: bytes) -> None:
    shown = load_image(put(tmp_path / "a.jpg", with_exif(block)), "RGB")
    assert shown.size == (24, 40)
    assert pixel_digest(shown) == pixel_digest(
        load_image(put(tmp_path / "b.jpg", encoded("JPEG")), "RGB")
    )


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_turn_that_exif_asks_for_is_made(tmp_path: Path, turn: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = turn
    path = put(tmp_path / "a.png", encoded("PNG", exif=exif))
    shown = decode(path, "RGB")
    assert shown.image.tobytes() == ImageOps.exif_transpose(Image.open(path)).tobytes()
    assert (shown.width, shown.height) == shown.image.size


@pytest.mark.parametrize("error", [RuntimeError("odd"), TypeError(), IndexError("index")])
def test_whatever_a_decoder_raises_is_one_line_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*anything: object) -> None:
        raise error

    path = put(tmp_path / "a.png", encoded("PNG"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", fail)
    said = str(error) or type(error).__name__
    with pytest.raises(ImageError, match=rf"a\.png cannot be decoded \({said}\)$"):
        load_image(path, "RGB")


@pytest.mark.parametrize("form", ["AVIF", "JPEG2000", "DDS", "QOI", "TIFF", "WEBP", "GIF", "PNG"])
def test_a_cut_file_of_any_format_is_one_line(tmp_path: Path, form: str) -> None:
    content = encoded(form)
    for end in (4, 30, len(content) // 2, len(content) - 40):
        with pytest.raises(ImageError, match="cannot be decoded"):
            load_image(put(tmp_path / "a.jpg", content[:end]), "RGB")


def test_no_format_calls_another_program(tmp_path: Path) -> None:
    assert not {"EPS", "WMF", "GRIB", "BUFR", "HDF5", "MPEG"} & {*FORMATS, *MORE_FORMATS}
    path = put(tmp_path / "a.png", encoded("EPS"))
    with pytest.raises(ImageError, match=r"cannot be decoded .cannot identify image file"):
        load_image(path, "RGB")


def test_pipes_sockets_and_folders_are_no_images_and_nobody_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.png"))
        for name in ("pipe.png", "folder.png", "socket.png"):
            with pytest.raises(ImageError, match=f"{name} is no file, but a folder, a pipe, a soc"):
                load_image(tmp_path / name, "RGB")


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.avif", "a.jxl", "a.heic", "a.jp2", "a.pgm"])
def test_what_pillow_and_its_packages_read_counts_as_an_image(name: str) -> None:
    assert is_image(name)
    assert not is_image(f".{name}")


def test_heic_is_read_with_its_package(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(NOISY).save(tmp_path / "a.heic")
    assert load_image(tmp_path / "a.heic", "RGB").size == (24, 40)


@pytest.mark.parametrize(
    ("head", "package", "said"),
    [
        (
            b"\0\0\0\x18ftypheic",
            "pillow_heif",
            r"is HEIF, which needs .*foldwise\[heif\]', or conv",
        ),
        (
            b"\xff\x0a",
            "pillow_jxl",
            "is JPEG XL, which needs a package: pip install pillow-jxl-plu",
        ),
    ],
)
def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, package: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(ImageError, match=said):
        load_image(put(tmp_path / "a.bin", head + bytes(40)), "RGB")


@pytest.mark.parametrize("size", [(1, 170_000_000), (13_000, 13_000)])
def test_memory_is_bounded_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(PillowReader, "bytes_beside", {"PNG": 14})  # as WebP takes
    path = put(tmp_path / "a.png", png(*size, 2, 8, b""))
    said = rf"a.png has {size[0]} x {size[1]} pixels, and decoding and resizing them takes about "
    with pytest.raises(ImageError, match=said + r"[\d.]+ GB of memory, more than 1\.5; make a sma"):
        load_image(path, "RGB")


def test_threads_with_large_images_wait_for_each_other() -> None:
    room, order = Room(), []
    started, going = threading.Event(), threading.Event()

    def first() -> None:
        with room.until_done():
            room.take(1.4e9)
            started.set()
            going.wait(10)
            order.append("first")

    def second() -> None:
        started.wait(10)
        with room.until_done():
            room.take(1.4e9)
            room.take(1.4e9)  # another size of the same image
            order.append("second")

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    going.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]
    assert room.used == 0


@pytest.mark.parametrize(("colour", "bits", "row"), [(2, 8, 15), (0, 1, 1), (3, 4, 3), (6, 16, 40)])
def test_a_png_that_ends_early_inside_a_complete_stream_is_damaged(
    tmp_path: Path, colour: int, bits: int, row: int
) -> None:
    rows = (b"\0" + b"\x01" * row) * 3
    for last in (b"", bytes(row)):  # the last row is not there, or black
        content = png(5, 4, colour, bits, rows + last and rows + b"\0" * bool(last) + last)
        palette = chunk(b"PLTE", bytes(48)) if colour == 3 else b""
        path = put(tmp_path / "a.png", content[:33] + palette + content[33:])
        if last:
            assert load_image(path, "RGB").size == (5, 4)
        else:
            with pytest.raises(
                ImageError, match=r"a\.png is damaged: its data end before its last"
            ):
                load_image(path, "RGB")


def test_an_interlaced_png_that_ends_early_is_damaged(tmp_path: Path) -> None:
    readable = []
    for length in range(26):
        path = put(tmp_path / "a.png", png(5, 3, 0, 8, bytes(length), interlaced=1))
        try:
            load_image(path, "L")
        except ImageError:
            continue
        readable.append(length)
    # of 5 x 3 pixels the passes have 1, 1, 0, 1, 3, 2 x 2 and 5, and each row has a filter
    assert readable[0] == 2 + 2 + 0 + 2 + 4 + 2 * 3 + 6


def test_a_jpeg_with_its_end_marker_too_soon_is_damaged_and_a_grey_one_is_not(
    tmp_path: Path,
) -> None:
    for mode, options in (("RGB", {}), ("RGB", {"subsampling": 0, "quality": 95}), ("L", {})):
        content = encoded("JPEG", NOISY.convert(mode).resize((200, 120)), **options)
        path = put(tmp_path / "a.jpg", content[: len(content) // 2] + b"\xff\xd9")
        for side in (None, 20):
            with pytest.raises(ImageError, match="is damaged: its data end before its last row"):
                decode(path, "RGB", side)
        grey = Image.new(mode, (70, 50), (128,) * len(mode) if mode == "RGB" else 128)
        assert load_image(put(path, encoded("JPEG", grey, **options)), "RGB").size == (70, 50)


def progressive(path: Path, image: Image.Image, **options: object) -> bytes:
    image.save(path, "JPEG", progressive=True, **options)
    return path.read_bytes()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("side", [None, 20])
def test_a_progressive_jpeg_that_lacks_scans_is_damaged(
    tmp_path: Path, mode: str, side: int | None
) -> None:
    path = tmp_path / "a.jpg"
    content = progressive(path, NOISY.convert(mode).resize((200, 120)))
    scans = [found.start() for found in re.finditer(b"\xff\xda", content)]
    *early, _ = scans
    assert len(early) > 3
    for scan in early:
        put(path, content[: scan + 40] + b"\xff\xd9")
        with pytest.raises(ImageError, match="is damaged: its data end before its last row"):
            decode(path, "RGB", side)


def test_a_progressive_jpeg_of_fewer_scans_that_are_whole_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    content = progressive(path, NOISY.resize((200, 120)))
    tables = content.rfind(b"\xff\xc4", 0, content.rfind(b"\xff\xda"))  # of the last scan
    assert load_image(put(path, content[:tables] + b"\xff\xd9"), "RGB").size == (200, 120)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (64, 48), (333, 217)])
@pytest.mark.parametrize("quality", [5, 50, 75, 95, 100])
def test_no_whole_progressive_jpeg_seems_to_lack_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], quality: int
) -> None:
    monkeypatch.setattr("foldwise.data.images.damage._progressive_takes_more", lambda path: True)
    smooth = NOISY.resize(size, Image.Resampling.BICUBIC)
    for image in (smooth, smooth.convert("L"), Image.new("RGB", size, (128, 128, 128))):
        for options in ({"subsampling": 0}, {"subsampling": 2}, {"restart_marker_blocks": 3}):
            progressive(tmp_path / "a.jpg", image, quality=quality, **options)
            assert load_image(tmp_path / "a.jpg", "RGB").size == size


def test_a_tiff_that_lacks_strips_is_damaged(tmp_path: Path) -> None:
    content = bytearray(encoded("TIFF"))
    start = struct.unpack("<I", content[4:8])[0]
    for entry in range(start + 2, len(content) - 12, 12):
        if content[entry : entry + 2] == b"\x01\x01":  # its number of rows
            content[entry + 8 : entry + 10] = struct.pack("<H", 80)
            break
    with pytest.raises(ImageError, match="is damaged: its data end before its last row"):
        load_image(put(tmp_path / "a.tif", bytes(content)), "RGB")
    rows = encoded("TIFF", tiffinfo={278: 8})
    assert load_image(put(tmp_path / "b.tif", rows), "RGB").size == (24, 40)


def test_strips_change_no_pixel_and_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = Image.fromarray(RNG.integers(0, 255, (40, 24, 4), np.uint8))
    path = put(tmp_path / "a.png", encoded("PNG", clear))
    once = load_image(path, "RGB")
    before = pixel_digest(once)
    monkeypatch.setattr("foldwise.data.images.opening.STRIP", 24 * 7)
    again = load_image(path, "RGB")
    assert again.tobytes() == once.tobytes()
    assert pixel_digest(again) == before
