"""Images with the same pixels are found whatever their files are, and stay in one fold."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise.commands.planning import scheme_folds
from foldwise.data.competition import (
    CompetitionData,
    digests,
    image_caches,
    image_sources,
    load_data,
)
from foldwise.data.folds import load_folds, make_folds
from foldwise.data.images import decoding as images
from foldwise.data.images.cache import ROW
from foldwise.data.images.decoding import known_digests, load_image, pixel_digest
from foldwise.data.images.duplicates import copies, join_units, pixel_digests, suspects
from foldwise.data.images.resizing import Resizing
from foldwise.data.labels.table import LabelTable
from foldwise.data.opened import OpenCompetition, open_competition
from foldwise.errors import FoldError, ImageError
from foldwise.kinds.folds import FOLDS
from foldwise.tasks import MultiClass, MultiLabel
from foldwise.workspace import Workspace
from tiny import copy, edit, ids

KINDS = ("stratified", "group", "stratified_group")


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random pixels, uint8 (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def digest(path: Path, mode: str = "RGB") -> str:
    """The digest of a file's pixels."""
    return pixel_digest(load_image(path, mode))


def table(labels: list[str], groups: list[str] | None = None, multi: bool = False) -> LabelTable:
    """Rows with these labels; with multi the letters of a label are its classes."""
    frame = pd.DataFrame({"id": [f"{n:03d}" for n in range(len(labels))], "path": "x.png"})
    frame["group"] = groups
    if not multi:
        names = ("b", "a", "10")
        frame["label"] = pd.Categorical(labels, categories=names)
        return LabelTable(frame, frame.astype(str), MultiClass(names))
    for name in "ba":
        frame[name] = [np.uint8(name in label) for label in labels]
    return LabelTable(frame, frame.astype(str), MultiLabel(("b", "a")))


def same(n: int, *together: tuple[int, ...]) -> "pd.Series[str]":
    """Digests of n rows, of which some have the same."""
    found = [f"own {row}" for row in range(n)]
    for number, rows in enumerate(together):
        for row in rows:
            found[row] = f"shared {number}"
    return pd.Series(found, index=[f"{row:03d}" for row in range(n)])


def all_ids(part: str) -> list[str]:
    """The ids of the tiny competition, in row order."""
    return ids(part, {"train": 30, "test": 12}[part])


def image_of(workspace: Workspace, part: str, number: int) -> Path:
    """The image of the competition's nth row."""
    return workspace.raw("tiny") / "images" / f"{all_ids(part)[number]}.png"


def put_copy(workspace: Workspace, source: str, target: str) -> None:
    """Replace an image by the pixels of another one, saved anew in another format."""
    folder = workspace.raw("tiny") / "images"
    with Image.open(folder / f"{source}.png") as opened:
        opened.save(folder / f"{target}.png", format="BMP")


def test_the_same_pixels_have_one_digest_in_every_lossless_format(tmp_path: Path) -> None:
    pixels = noise(13, 21)
    for name in ("a.png", "b 2.bmp", "ü.tiff", "c.PNG", "quick.png", "d.webp"):
        image = Image.fromarray(pixels)
        options = {"quick.png": {"compress_level": 1}, "d.webp": {"lossless": True}}
        image.save(tmp_path / name, **options.get(name, {}))
    with_alpha = Image.fromarray(pixels).convert("RGBA")
    with_alpha.save(tmp_path / "opaque.png")
    turned = Image.fromarray(np.rot90(pixels))  # EXIF says: turn it back
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    assert len({digest(path) for path in tmp_path.iterdir()}) == 1
    assert len(list(tmp_path.iterdir())) == 8


def test_another_pixel_size_or_mode_has_another_digest(tmp_path: Path) -> None:
    pixels = noise(12, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels.reshape(8, 12, 3)).save(tmp_path / "reshaped.png")
    Image.fromarray(pixels[:, :, ::-1]).save(tmp_path / "swapped.png")
    Image.fromarray(pixels[:11]).save(tmp_path / "cropped.png")
    changed = pixels.copy()
    changed[3, 4, 1] ^= 1
    Image.fromarray(changed).save(tmp_path / "changed.png")
    assert len({digest(path) for path in tmp_path.iterdir()}) == 5
    assert digest(tmp_path / "a.png", "L") != digest(tmp_path / "a.png")
    grey = noise(6, 4)[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.repeat(3).reshape(6, 4, 3)).save(tmp_path / "as colour.png")
    assert digest(tmp_path / "grey.png") == digest(tmp_path / "as colour.png")
    assert digest(tmp_path / "grey.png", "RGBA") != digest(tmp_path / "grey.png")


def test_copies_are_listed_by_their_digest(workspace: Workspace) -> None:
    names, tests = all_ids("train"), all_ids("test")
    assert copies(load_data(workspace, "tiny").train, digests(load_data(workspace, "tiny"))) == {}
    put_copy(workspace, names[4], names[1])
    put_copy(workspace, names[4], names[22])
    put_copy(workspace, names[7], tests[3])
    data = load_data(workspace, "tiny")
    found = digests(data)
    assert set(found.index) == {*names, *tests}
    assert list(copies(data.train, found).values()) == [sorted([names[4], names[1], names[22]])]
    assert sorted(copies(data.all_rows(), found).values()) == sorted(
        [sorted([names[4], names[1], names[22]]), sorted([names[7], tests[3]])]
    )
    assert copies(data.test, found) == {}


def test_a_copy_in_the_test_set_changes_no_fold(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    before = scheme_folds(OpenCompetition(workspace, data))
    put_copy(workspace, all_ids("train")[7], all_ids("test")[3])
    after = scheme_folds(open_competition(workspace, "tiny"))
    assert before.sha256 == after.sha256


def test_rows_are_joined_through_others() -> None:
    group = np.array(["x", "x", "y", "y", "z", "w"])
    digest = np.array(["1", "2", "2", "3", "4", "4"])
    units = join_units(6, group, digest)
    assert len(set(units[:4])) == 1
    assert len(set(units[4:])) == 1
    assert units[0] != units[4]
    assert len(set(join_units(6, group, None))) == 4
    assert join_units(6, None, None).tolist() == list(range(6))


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_copies_stay_in_one_fold_in_every_kind_of_scheme(kind: str, multi: bool) -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(["b", "a", "ab" if multi else "10"], 90).tolist()
    data = table(labels, [f"site {n}" for n in rng.integers(0, 30, 90)], multi)
    together = [(0, 50), (1, 2, 3, 70), (89, 4), (5, 88, 40)]
    for seed in range(5):
        scheme = FOLDS.load(kind)(n=4, seed=seed)
        apart = make_folds(data, scheme)["fold"].to_numpy()
        folds = make_folds(data, scheme, same(90, *together))["fold"].to_numpy()
        assert set(folds) == set(range(4))
        assert all(len(set(folds[list(rows)])) == 1 for rows in together)
        assert any(len(set(apart[list(rows)])) > 1 for rows in together)
        if kind != "stratified":
            assert (data.frame.assign(fold=folds).groupby("group")["fold"].nunique() == 1).all()


@pytest.mark.parametrize("kind", ["group", "stratified_group"])
def test_a_copy_in_two_sites_joins_both_sites(kind: str) -> None:
    groups = [f"site {n // 4}" for n in range(48)]
    data = table(["b", "a", "10"] * 16, groups)
    chain = same(48, (0, 5), (6, 9))  # site 0 with site 1, and that with site 2
    for seed in range(8):
        scheme = FOLDS.load(kind)(n=3, seed=seed)
        folds = make_folds(data, scheme, chain)["fold"].to_numpy()
        assert len(set(folds[:12])) == 1
        assert set(folds) == {0, 1, 2}


def test_copies_count_as_one_image_where_there_are_too_few() -> None:
    data = table(["b", "a", "b", "a"])
    scheme = FOLDS.load("stratified")(n=3)
    with pytest.raises(FoldError, match="3 folds need at least as many different images, got 2;"):
        make_folds(data, scheme, same(4, (0, 1), (2, 3)))
    grouped = table(["b", "a", "b", "a"] * 2, ["x", "x", "y", "y"] * 2)
    with pytest.raises(FoldError, match="2 folds need at least as many groups, got 1; lower n"):
        make_folds(grouped, FOLDS.load("group")(n=2), same(8, (0, 2)))
    lonely = table(["b"] * 6 + ["a"] * 6 + ["10"] * 2)
    with pytest.raises(FoldError, match="'10' has only 2 rows in one group; get more data, or"):
        make_folds(lonely, FOLDS.load("stratified")(n=2), same(14, (12, 13)))


def test_saved_folds_are_refused_when_an_image_became_a_copy(workspace: Workspace) -> None:
    names = all_ids("train")
    first = scheme_folds(open_competition(workspace, "tiny"))
    assert scheme_folds(open_competition(workspace, "tiny")).sha256 == first.sha256
    put_copy(workspace, names[0], names[1])
    with pytest.raises(FoldError) as caught:
        scheme_folds(open_competition(workspace, "tiny"))
    assert (
        "default.csv was made with other images, with other copies among them; runs made with it "
        "would not match: give [folds.default] its old settings back, use a new name, or remove"
    ) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_hash_of_folds_tells_the_copies_they_keep_together(tmp_path: Path) -> None:
    data, scheme = table(["b", "a"] * 15), FOLDS.load("stratified")(n=3)
    plain = load_folds(data, "one", scheme, tmp_path / "plain")
    none = load_folds(data, "one", scheme, tmp_path / "none", same(30))
    assert none.sha256 == plain.sha256
    some = load_folds(data, "one", scheme, tmp_path / "some", same(30, (2, 3)))
    other = load_folds(data, "one", scheme, tmp_path / "other", same(30, (2, 3), (4, 9)))
    assert len({plain.sha256, some.sha256, other.sha256}) == 3
    assert some.duplicates != other.duplicates
    again = load_folds(data, "one", scheme, tmp_path / "some", same(30, (2, 3)).iloc[::-1])
    assert again.sha256 == some.sha256
    with pytest.raises(FoldError, match="was made with other images, with other copies among"):
        load_folds(data, "one", scheme, tmp_path / "some")


def test_a_scheme_may_leave_copies_alone(workspace: Workspace) -> None:
    names = all_ids("train")
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, 'kind = "stratified"\n', 'kind = "stratified"\nduplicates = false\n')
    before = scheme_folds(open_competition(workspace, "tiny"))
    put_copy(workspace, names[0], names[1])
    data = load_data(workspace, "tiny")
    assert scheme_folds(OpenCompetition(workspace, data)).sha256 == before.sha256
    image_of(workspace, "train", 5).unlink()  # nothing is decoded
    assert scheme_folds(OpenCompetition(workspace, data)).sha256 == before.sha256
    with pytest.raises(ImageError, match="1 of 42 ids have no image"):
        scheme_folds(OpenCompetition(workspace, data), "sites")


def make_unreadable(workspace: Workspace) -> None:
    """Blank every image, with its size and time of change as they were."""
    for path in (workspace.raw("tiny") / "images").iterdir():
        stat = path.stat()
        path.write_bytes(b"\0" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_what_the_cache_tells_to_be_no_copy_is_not_decoded_again(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    names = all_ids("train")
    put_copy(workspace, names[2], names[8])
    image_caches(data, [(16, 16)], Resizing(shape="squash"))
    whole = {number: image_of(workspace, "train", number).read_bytes() for number in (2, 8)}
    make_unreadable(workspace)
    for number, content in whole.items():
        image_of(workspace, "train", number).write_bytes(content)
    found = digests(data)
    assert list(copies(data.train, found).values()) == [sorted([names[2], names[8]])]
    assert found.notna().sum() == 2
    assert set(known_digests(data.raw, "L").values()) == set(found.dropna())
    assert scheme_folds(OpenCompetition(workspace, data)).n == 3


def photo(seed: int = 0) -> Image.Image:
    """A grey image of 200 by 160 pixels, larger than the cache needs."""
    coarse = Image.fromarray(noise(9, 9, seed)[:, :, 0])
    return coarse.resize((200, 160), Image.Resampling.BICUBIC)


def in_full(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of images that are decoded in full from now on."""
    seen: list[str] = []
    decoded = images.decode

    def note(
        path: Path, mode: str, side: int | None = None, levels: object = None, *more: object
    ) -> images.Decoded:
        if side is None:
            seen.append(path.stem)
        return decoded(path, mode, side, levels, *more)

    monkeypatch.setattr(images, "decode", note)
    return seen


def records(data: CompetitionData, *numbers: int) -> np.ndarray:
    """What the one cache's records say of training rows."""
    (cache,) = image_caches(data, [(24, 24)], Resizing(shape="squash"))
    names = pd.Series([all_ids("train")[number] for number in numbers])
    return np.fromfile(cache.folder / "rows.bin", ROW)[cache.rows(names)]


def test_two_jpegs_of_the_same_pixels_are_found_at_a_reduced_scale(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, other = (image_of(workspace, "train", number) for number in (1, 5, 9))
    photo().save(first, "JPEG", quality=85)
    with Image.open(first) as image:
        image.save(second, "JPEG", quality="keep", optimize=True, comment=b"saved again")
    photo(1).save(other, "JPEG", quality=85)
    assert first.read_bytes() != second.read_bytes()
    without = copy(workspace, tmp_path / "without a cache")
    data = load_data(workspace, "tiny")
    assert records(data, 1, 5, 9)["scale"].tolist() == [2, 2, 2]
    seen = in_full(monkeypatch)
    folds = scheme_folds(OpenCompetition(workspace, data))
    assert sorted(seen) == sorted([first.stem, second.stem])
    assert list(copies(data.train, digests(data)).values()) == [sorted([first.stem, second.stem])]
    assert folds.of(pd.Series([first.stem])) == folds.of(pd.Series([second.stem]))
    decoded = scheme_folds(open_competition(without, "tiny"))
    assert len(seen) == 2 + 42
    assert decoded.sha256 == folds.sha256
    assert decoded.duplicates == folds.duplicates
    assert decoded.frame.equals(folds.frame)


def test_a_jpeg_and_the_png_of_its_pixels_are_found(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third, small = (image_of(workspace, "train", n) for n in (1, 5, 9, 12))
    photo().save(first, "JPEG", quality=85)
    with Image.open(first) as image:
        image.save(second, "PNG")
    photo(1).save(third, "JPEG", quality=85)
    photo().resize((90, 80)).save(small, "JPEG", quality=85)
    data = load_data(workspace, "tiny")
    rows = records(data, 1, 5, 9, 12)
    assert rows["scale"].tolist() == [2, 1, 2, 1]
    assert len(set(rows["crc"])) == 4
    seen = in_full(monkeypatch)
    found = copies(data.all_rows(), digests(data))
    assert list(found.values()) == [sorted([first.stem, second.stem])]
    assert sorted(seen) == sorted([first.stem, second.stem, third.stem])  # of one size, both kinds
    digests(data)
    assert len(seen) == 3  # known from then on


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_images_that_only_resizing_makes_equal_are_no_copies(
    workspace: Workspace, kind: str
) -> None:
    first, second = (image_of(workspace, "train", number) for number in (1, 5))
    side = {"PNG": 48, "JPEG": 96}[kind]  # to 24 pixels: resized, or decoded at half the scale
    chess = (100 + 2 * (np.indices((side, side)).sum(axis=0) % 2)).astype(np.uint8)
    for path, pixels in ((first, chess), (second, 202 - chess)):
        Image.fromarray(pixels).save(path, kind, quality=100)
    data = load_data(workspace, "tiny")
    one, two = records(data, 1, 5)
    assert one["crc"] == two["crc"]
    assert one["scale"] == {"PNG": 1, "JPEG": 2}[kind]
    found = digests(data)
    assert found[first.stem] != found[second.stem]
    assert copies(data.all_rows(), found) == {}


def test_rows_are_suspected_by_checksum_and_size_and_where_scales_differ() -> None:
    rows = np.zeros(8, ROW)
    rows["crc"] = [7, 7, 7, 1, 2, 3, 4, 5]
    rows["width"] = [9, 9, 8, 5, 5, 5, 6, 6]
    rows["height"] = [9, 9, 9, 5, 5, 6, 6, 6]
    rows["scale"] = [1, 1, 1, 2, 1, 2, 4, 4]
    assert suspects(rows).tolist() == [True, True, False, True, True, False, False, False]


def test_digests_are_kept_and_only_new_images_are_decoded(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    asked: list[tuple[int, int]] = []
    first = digests(data, lambda done, total: asked.append((done, total)))
    assert asked == [(42, 42)]
    make_unreadable(workspace)
    Image.fromarray(noise(20, 20)).convert("L").save(image_of(workspace, "train", 0))
    second = digests(data, lambda done, total: asked.append((done, total)))
    assert asked[1:] == [(1, 1)]
    assert second.index.tolist() == first.index.tolist()
    changed = second[second != first]
    assert changed.index.tolist() == [all_ids("train")[0]]


def test_each_mode_has_its_own_digests(workspace: Workspace) -> None:
    grey = digests(load_data(workspace, "tiny"))
    edit(workspace.competition("tiny") / "competition.toml", 'mode = "L"', 'mode = "RGB"')
    colour = digests(load_data(workspace, "tiny"))
    assert not set(grey) & set(colour)
    raw = workspace.raw("tiny")
    assert (len(known_digests(raw, "L")), len(known_digests(raw, "RGB"))) == (42, 42)
    assert known_digests(raw, "RGBA") == {}


def test_unreadable_images_are_said_and_the_others_are_kept(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    for number in (3, 9):
        image_of(workspace, "train", number).write_bytes(b"no image")
    with pytest.raises(ImageError) as caught:
        pixel_digests(image_sources(data))
    bad = min(all_ids("train")[number] for number in (3, 9))
    listing = workspace.data / "tiny" / "unreadable.txt"
    assert str(caught.value).startswith(
        f"2 of 42 images are missing or unreadable, e.g. id '{bad}': {data.raw}/images/{bad}.png "
        "cannot be decoded ("
    )
    assert f"all are listed in {listing}. Get them again, or list ids" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(listing.read_text().splitlines()) == 2
    assert len(known_digests(data.raw, "L")) == 40


def test_an_image_that_went_missing_is_said(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    sources = image_sources(data)
    gone = image_of(workspace, "test", 4)
    gone.unlink()
    with pytest.raises(ImageError) as caught:
        pixel_digests(sources)
    assert (
        f"1 of 42 images are missing or unreadable, e.g. id '{gone.stem}': {gone} is missing;"
        in (str(caught.value))
    )


def test_hooks_that_read_images_have_digests_too(workspace: Workspace) -> None:
    (workspace.competition("tiny") / "adapter.py").write_text(
        "import numpy as np\n\n\ndef read_image(spec, row):\n"
        "    return np.full((8, 8, 1), int(row['site'][-1]), np.uint8)\n"
    )
    data = load_data(workspace, "tiny")
    found = copies(data.all_rows(), digests(data))
    assert sorted(len(names) for names in found.values()) == [7] * 6  # as many as sites
