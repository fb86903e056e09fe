"""Images are decoded once, whatever their kind; what cannot be decoded stops the run."""

import shutil
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise.data.competition import load_data
from foldwise.data.images.building import build_caches
from foldwise.data.images.cache import ImageCache, open_cache
from foldwise.data.images.decoding import decode, load_image
from foldwise.data.images.resizing import Resizing
from foldwise.data.images.sources import ImageSources, source_hashes
from foldwise.errors import ImageError, StorageError
from foldwise.workspace import Workspace
from tiny import edit, ids


def cache_of(
    workspace: Workspace, size: tuple[int, int] = (16, 24), how: str = "squash"
) -> ImageCache:
    data = load_data(workspace, "tiny")
    rows, hook = data.all_rows(), data.hooks.get("read_image")
    hashes = source_hashes(rows, data.raw, hook)
    sources = ImageSources(data.spec, rows, data.raw, hashes, hook)
    return build_caches(sources, [size], Resizing(shape=how))[0]


def test_the_cache_holds_every_image_at_its_size(workspace: Workspace) -> None:
    cache = cache_of(workspace)
    assert cache.pixels.shape == (42, 16, 24, 1)
    assert cache.size == (16, 24)
    assert cache.channels == 1
    raw = workspace.raw("tiny")
    for id in (ids("train", 30)[7], ids("test", 12)[3]):
        expected = Image.open(raw / "images" / f"{id}.png").resize((24, 16), 2)
        row = cache.rows(pd.Series([id]))[0]
        assert (cache.pixels[row, :, :, 0] == np.asarray(expected)).all()


def test_it_is_built_again_only_when_a_source_or_the_size_changes(workspace: Workspace) -> None:
    first = cache_of(workspace)
    built = (first.folder / "done.json").stat().st_mtime_ns
    image = workspace.raw("tiny") / "images" / f"{ids('train', 30)[0]}.png"
    image.touch()  # another time, the same bytes
    assert cache_of(workspace).folder == first.folder
    assert (first.folder / "done.json").stat().st_mtime_ns == built
    assert cache_of(workspace, (8, 8)).folder != first.folder
    assert cache_of(workspace, how="pad").folder != first.folder
    Image.new("L", (9, 9), 200).save(image)
    changed = cache_of(workspace)
    assert changed.folder != first.folder
    assert (changed.pixels[changed.rows(pd.Series([ids("train", 30)[0]]))] == 200).all()


def test_a_full_disk_stops_before_anything_is_decoded(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=9))
    with pytest.raises(StorageError, match=r"the image cache of tiny needs 0.00 GB of disk space"):
        cache_of(workspace)
    assert not list((workspace.data / "tiny" / "cache").glob("*/pixels.u8"))


def test_an_unfinished_cache_is_not_used(workspace: Workspace) -> None:
    first = cache_of(workspace)
    whole = (first.folder / "pixels.u8").read_bytes()
    (first.folder / "done.json").unlink()
    (first.folder / "pixels.u8").write_bytes(b"half")
    with pytest.raises(ImageError, match="is not there; run the same command again"):
        open_cache(first.folder)
    cache_of(workspace)
    assert (first.folder / "pixels.u8").read_bytes() == whole


def test_unreadable_and_missing_images_stop_the_run_with_a_list(workspace: Workspace) -> None:
    raw = workspace.raw("tiny")
    names = ids("train", 30)
    whole = (raw / "images" / f"{names[0]}.png").read_bytes()
    (raw / "images" / f"{names[0]}.png").write_bytes(whole[: len(whole) // 2])
    (raw / "images" / f"{names[1]}.png").write_bytes(b"")
    (raw / "images" / f"{names[2]}.png").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ImageError, match="3 of 42 images are missing or unreadable") as caught:
        cache_of(workspace)
    assert "skip" in str(caught.value)
    listed = (raw.parent / "unreadable.txt").read_text()
    assert [name in listed for name in names[:4]] == [True, True, True, False]
    assert "is empty" in listed
    assert not list((raw.parent / "cache").glob("*/pixels.u8"))


def save(
    path: Path, mode: str, value: object, size: tuple[int, int] = (5, 4), **options: object
) -> Path:
    Image.new(mode, size, value).save(path, **options)  # type: ignore[arg-type]
    return path


def test_every_kind_of_image_becomes_the_mode_of_the_spec(tmp_path: Path) -> None:
    grey = save(tmp_path / "l.png", "L", 100)
    assert np.asarray(load_image(grey, "RGB")).tolist()[0][0] == [100, 100, 100]
    palette = Image.new("P", (5, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "p.png")
    assert np.asarray(load_image(tmp_path / "p.png", "RGB")).tolist()[0][0] == [10, 20, 30]
    cmyk = save(tmp_path / "cmyk.jpg", "CMYK", (0, 0, 0, 0))
    assert np.asarray(load_image(cmyk, "RGB")).min() >= 254
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 5), 0x6400, np.uint16)).save(deep)
    assert (np.asarray(load_image(deep, "L")) == 0x64).all()
    bilevel = save(tmp_path / "1.png", "1", 1)
    assert (np.asarray(load_image(bilevel, "L")) == 255).all()
    webp = tmp_path / "w.jpg"
    Image.new("RGB", (5, 4), (9, 9, 9)).save(webp, format="WEBP", lossless=True)
    assert np.asarray(load_image(webp, "RGB")).tolist()[0][0] == [9, 9, 9]


def test_transparency_lies_over_white_unless_the_model_sees_it(tmp_path: Path) -> None:
    clear = save(tmp_path / "a.png", "RGBA", (10, 20, 30, 0))
    assert np.asarray(load_image(clear, "RGB")).tolist()[0][0] == [255, 255, 255]
    assert np.asarray(load_image(clear, "RGBA")).tolist()[0][0] == [10, 20, 30, 0]
    assert np.asarray(load_image(save(tmp_path / "la.png", "LA", (10, 0)), "L")).max() == 255
    opaque = save(tmp_path / "o.png", "RGBA", (10, 20, 30, 255))
    assert np.asarray(load_image(opaque, "RGB")).tolist()[0][0] == [10, 20, 30]
    grey = load_image(save(tmp_path / "l.png", "L", 7), "RGBA")
    assert np.asarray(grey).tolist()[0][0] == [7, 7, 7, 255]


def test_exif_turns_the_image(tmp_path: Path) -> None:
    image = Image.new("L", (6, 3))
    image.putpixel((0, 0), 255)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees for viewing
    image.save(tmp_path / "a.png", exif=exif)
    turned = load_image(tmp_path / "a.png", "L")
    assert turned.size == (3, 6)
    assert turned.getpixel((2, 0)) == 255


def test_floating_point_images_ask_for_a_hook(tmp_path: Path) -> None:
    Image.new("F", (5, 4), 0.5).save(tmp_path / "f.tif")
    with pytest.raises(ImageError, match="floating-point pixels, and their scale is not known"):
        load_image(tmp_path / "f.tif", "L")


def test_truncated_images_are_refused_even_if_a_library_allows_them(tmp_path: Path) -> None:
    from PIL import ImageFile

    rng = np.random.default_rng(0)
    path = tmp_path / "a.jpg"
    Image.fromarray(rng.integers(0, 255, (200, 200, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:9000])
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with pytest.raises(ImageError, match="cannot be decoded"):
            load_image(path, "RGB")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def test_a_decompression_bomb_is_refused_and_a_hundred_megapixels_are_not(tmp_path: Path) -> None:
    path = save(tmp_path / "bomb.png", "L", 0)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 20_000, 20_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(
        ImageError,
        match=r"bomb.png may be a decompression bomb: Image size \(400000000 pixels\) exceeds "
        r"limit of 178956970 pixels; make a smaller copy of it, or if it is right, write PIL.Image",
    ):
        load_image(path, "L")
    large = save(tmp_path / "large.png", "1", 1, (10_000, 10_001), compress_level=1)
    with warnings.catch_warnings(action="error"):
        assert load_image(large, "L").size == (10_000, 10_001)


@pytest.mark.parametrize(
    ("side", "scale"), [(25, 8), (26, 4), (50, 4), (51, 2), (100, 2), (101, 1), (None, 1)]
)
def test_a_jpeg_keeps_twice_the_side_that_is_wanted(
    tmp_path: Path, side: int | None, scale: int
) -> None:
    for kind in ("JPEG", "MPO"):
        image = decode(save(tmp_path / f"{kind}.jpg", "L", 90, (600, 401), format=kind), "L", side)
        assert (image.width, image.height, image.scale) == (600, 401, scale)
        assert image.image.size == (600 // scale, -(-401 // scale))
    png = decode(save(tmp_path / "a.png", "L", 90, (600, 401)), "L", side)
    assert (png.image.size, png.scale) == ((600, 401), 1)


def test_a_jpeg_that_is_truncated_is_refused_at_a_reduced_scale_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.jpg"
    Image.fromarray(rng.integers(0, 255, (200, 200, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode(path, "RGB", 12)


def test_squash_crop_and_pad() -> None:
    image = Image.new("L", (40, 20), 100)
    image.paste(200, (30, 0, 40, 20))  # the right quarter is bright
    made = {
        how: Resizing(shape=how).fit(image, (10, 10))[:, :, 0] for how in ("squash", "crop", "pad")
    }
    squashed, cropped, padded = made.values()
    assert squashed.shape == cropped.shape == padded.shape == (10, 10)
    assert squashed[5, 0] == 100
    assert squashed[5, 9] == 200
    assert (cropped[:, :8] == 100).all()  # the middle half only
    assert cropped[:, 9].max() < 150
    assert padded[0, 5] == padded[9, 5] == 0
    assert padded[5, 0] == 100


def test_a_read_image_hook_gives_the_pixels_and_its_row_is_the_source(workspace: Workspace) -> None:
    adapter = workspace.competition("tiny") / "adapter.py"
    adapter.write_text(
        "import numpy as np\n\n\ndef read_image(spec, row):\n"
        "    return np.full((5, 7, 1), int(row['id'][-2:]), np.uint8)\n"
    )
    cache = cache_of(workspace)
    told = np.array([int(id[-2:]) for id in cache.ids])
    assert len(told) == 42
    assert (cache.pixels == told[:, None, None, None]).all()
    adapter.write_text(adapter.read_text().replace("(5, 7, 1)", "(5, 7, 3)"))
    features = workspace.raw("tiny") / "train_features.csv"
    edit(features, "train 0", "train zero")  # another row is another source
    with pytest.raises(ImageError, match=r"read_image should return uint8 \(h, w, 1\), got"):
        cache_of(workspace)


def test_another_read_image_hook_is_another_source(workspace: Workspace) -> None:
    adapter = workspace.competition("tiny") / "adapter.py"
    code = "import numpy as np\n\n\ndef read_image(spec, row):\n"
    code += "    return np.full((4, 4, 1), 7, 'u1')\n"
    adapter.write_text(code)
    assert (cache_of(workspace).pixels == 7).all()
    adapter.write_text(code.replace("7", "99"))
    assert (cache_of(workspace).pixels == 99).all()


def test_decoding_warns_nobody(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_image(save(tmp_path / "p.png", "P", 0, transparency=0), "RGB")


def test_an_id_without_pixels_is_said(workspace: Workspace) -> None:
    with pytest.raises(ImageError, match=r"1 ids have no cached image, e.g. 'nobody'"):
        cache_of(workspace).rows(pd.Series(["nobody"]))
