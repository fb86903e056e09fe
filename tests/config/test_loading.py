"""TOML becomes frozen models, and each mistake one clear line."""

from pathlib import Path

import pytest

from foldwise.config.augment import Augment
from foldwise.config.competition import load_competition
from foldwise.config.loading import read_toml, with_overrides
from foldwise.config.recipe import SizedRecipe, load_recipe
from foldwise.errors import SpecError
from foldwise.kinds.method import Method
from foldwise.training.fitting.losses import Focal
from foldwise.workspace import Workspace
from tiny import RECIPE, edit


def test_a_spec_is_frozen_and_named_after_its_folder(workspace: Workspace) -> None:
    spec = load_competition(workspace.competition("tiny"))
    assert spec.name == "tiny"
    with pytest.raises(ValueError, match="frozen"):
        spec.title = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Tiny"', 'titel = "Tiny"', "unknown key 'titel'; did you mean 'title'"),
        ('title = "Tiny"', 'title = "Tiny"\npag = "x"', "key 'pag'; did you mean 'page'"),
        ('mode = "L"', 'mdoe = "L"', "unknown key 'images.mdoe'; did you mean 'mode'"),
        ("n = 3\nseed = 1\n\n[folds.sites]", "m = 3\n\n[folds.sites]", "folds.default.m'"),
        ('title = "Tiny"', "", "the key 'title' is missing"),
        ('mode = "L"', 'mode = "CMYK"', "images.mode: input should be 'L', 'RGB' or 'RGBA', got"),
        ("n = 3\nseed = 1\n\n[submit]", "n = 1\nseed = 1\n\n[submit]", "folds.sites.n: input"),
        ('recipes = ["tiny"]', 'recipes = ["tiney"]', "recipes/tiney.toml is missing; did you"),
        ('recipes = ["tiny"]', 'recipes = ["tiny"]\nfolds = "x"', "'x' is no .* table; there are"),
        ('group = "site"', "", "kind = 'stratified_group' needs"),
        ('"class_columns"', '"class_column"', 'column. is missing, e.g. column = "<the label'),
        ('group = "site"', 'column = "x"\ngroup = "site"', 'column belongs to format = "class_c'),
        ('"{filepath}"', '"../{filepath}"', "must be a path inside the raw folder"),
        ('"train_labels.csv"', '"/etc/passwd"', "must be a path inside the raw folder"),
        ("[folds.sites]", '[folds."a b"]', "a name is letters, digits"),
        ('title = "Tiny"', "title = Tiny", "is not valid TOML"),
    ],
)
def test_a_mistake_in_competition_toml_is_said(
    workspace: Workspace, old: str, new: str, message: str
) -> None:
    folder = workspace.competition("tiny")
    edit(folder / "competition.toml", old, new)
    with pytest.raises(SpecError, match=message) as caught:
        load_competition(folder)
    assert "\n" not in str(caught.value)
    assert "competition.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch_size", "batchsize", "unknown key 'batchsize'; did you mean 'batch_size'"),
        (
            "batch_size = 8",
            "focal_gamma = 1.5",
            "unknown key 'focal_gamma'; write loss = {name = \"focal\", gamma = 2.0}",
        ),
        (
            "batch_size = 8",
            'loss = {name = "focal", gamma = -1}',
            "loss.gamma: input should be greater than or equal to 0, got -1",
        ),
        (
            "batch_size = 8",
            'loss = {name = "mae", gamma = 1}',
            'loss: gamma belongs to name = "focal", not to "mae"',
        ),
        ("batch_size = 8", 'loss = "focall"', "loss: no loss is called 'focall'; did you mean"),
        ("batch_size = 8", "loss = 2", "loss: should be a word or a table with name"),
        ("epochs = 1", "epoch = 1", "unknown key 'stage.0.epoch'; did you mean 'epochs'"),
        ("image_size = 32", "image_size = 4", "must be 8 to 4096 pixels, got 4"),
        (
            "batch_size = 8",
            "presize = 24",
            r"presize must be at least its image_size, got \[24, 24\] for",
        ),
        ('["none", "hflip"]', '["hflip"]', 'tta must hold "none"'),
        ('["none", "hflip"]', '["none", "flip"]', "tta.1: input should be 'none', 'hflip'"),
        ('["none", "hflip"]', '["none", "none"]', "tta must be a list of different values"),
        (
            "rotate = 5",
            "zoom = [2, 1]",
            r"zoom.factor: must be \[low, high\] with 0.1 <= low <= high <= 10, got \[2.0, 1.0\]",
        ),
        (
            "rotate = 5",
            "crop = [0, 1]",
            r"crop.share: must be \[low, high\] with 0.01 <= low <= high <= 1, got \[0.0, 1.0\]",
        ),
        ("rotate = 5", "crop = [0.5, 1.5]", r"crop.share: must be \[low, high\] .* <= 1, got"),
        (
            "rotate = 5",
            "crop = {share = [0.5, 1], ratio = [2, 1]}",
            r"augment.crop.ratio: must be \[low, high\] with 0.1 <=",
        ),
        (
            "rotate = 5",
            "warp = 0.5",
            "augment.warp.magnitude: input should be less than or equal to 0.3",
        ),
        ("rotate = 5", "erase = 2", "augment.erase.p: input should be less than or equal to 1"),
        (
            "rotate = 5",
            "zoom = {factor = [1, 2], p = -1}",
            "augment.zoom.p: input should be greater",
        ),
        (
            "rotate = 5",
            "rotat = 5",
            "augment: no augmentation is called 'rotat'; did you mean 'rotate'",
        ),
        ("rotate = 5", "rotate = true", "the key 'augment.rotate.degrees' is missing"),
        ("rotate = 5", "rotate = {p = 1, degree = 5}", "'augment.rotate.degree'; did you mean"),
        (
            "rotate = 5",
            'rotate = {name = "shift", share = 0.1}',
            'augment: rotate is not "shift"; write shift =',
        ),
        ("rotate = 5", "dihedral = 1.5", "dihedral should be true or false, e.g. dihedral = true"),
        ("rotate = 5", "p_affine = 1", "unknown key 'p_affine'; give each .*, e.g. rotate = {"),
        ("rotate = 5", "p_lighting = 1", "unknown key 'p_lighting'; give each .*, e.g. bright"),
        ("rotate = 5", "crop_ratio = [1, 1]", "unknown key 'crop_ratio'; it is crop's own, e.g."),
        ("batch_size = 8", "mixup = -1", "mixup: input should be greater than or equal to 0"),
        ("batch_size = 8", "drop_path = 1", "drop_path: input should be less than 1, got 1"),
        ("batch_size = 8", "ema = 1", "ema: input should be less than 1, got 1"),
        ("batch_size = 8", "accumulate = 0", "accumulate: input should be greater than or equal"),
        ("batch_size = 8", "swa = 2", "swa must be at most all stages' epochs, 1, got 2"),
        ("batch_size = 8", "swa = 1\nema = 0.9", "ema and swa both .* got ema = 0.9 and swa = 1"),
        ("batch_size = 8", "swa = 1\nearly_stop = 2", "early_stop leaves open .* set one of them"),
        (
            "rotate = 5\n\n[[stage]]\n",
            "dihedral = true\n\n[[stage]]\nimage_size = [16, 32]\n",
            r"augment.dihedral needs a square image_size, got \[16, 32\]; use",
        ),
        ("batch_size = 8", "seeds = []", "seeds must be a list of different values"),
        (
            'image_size = 32\nbatch_size = 8\ntta = ["none", "hflip"]',
            'image_size = [16, 32]\ntta = ["none", "rot90"]',
            "need a square image_size",
        ),
    ],
)
def test_a_mistake_in_a_recipe_is_said(
    workspace: Workspace, old: str, new: str, message: str
) -> None:
    folder = workspace.competition("tiny")
    edit(folder / "recipes" / "tiny.toml", old, new)
    with pytest.raises(SpecError, match=message):
        load_recipe(folder, "tiny")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage.0.lr=1e30", "stage.0.lr: input should be less than or equal to 1000000, got 1e+30"),
        ("stage.0.lr=[1e-3, 0]", "stage.0.lr.1: input should be greater than 0, got 0"),
        ("stage.0.lr=[1e-3]", "the key 'stage.0.lr.1' is missing"),
        (
            "stage.0.lr=fnd",
            "stage.0.lr: input should be a valid number or a valid tuple or 'find', got 'fnd'",
        ),
        ("stage.0.train=0", "stage.0.train: input should be greater than or equal to 1, got 0"),
        (
            "stage.0.train=body",
            "stage.0.train: input should be 'all' or 'head' or a valid integer, got 'body'",
        ),
        (
            "image_size=[32, 1.5]",
            "image_size.1: input should be a valid integer, got a number with a fractional part, "
            "got 1.5",
        ),
        ("batch_size=1.5", "batch_size: input should be a valid integer or 'auto', got 1.5"),
        (
            "class_weights={a=0, b='x'}",
            "class_weights.a: input should be greater than 0, got 0; class_weights.b: input should "
            "be a valid number, unable to parse string as a number, got 'x'",
        ),
    ],
)
def test_a_value_of_several_possible_types_is_told_once(
    workspace: Workspace, override: str, message: str
) -> None:
    folder = workspace.competition("tiny")
    with pytest.raises(SpecError) as caught:
        load_recipe(folder, "tiny", [override])
    assert str(caught.value) == f"{folder / 'recipes' / 'tiny.toml'}: {message}"


def test_values_of_several_possible_types_count_once_each(workspace: Workspace) -> None:
    wrong = ["stage.0.lr=1e30", "stage.0.train=0", "stage.0.image_size=x", "batch_size=1"]
    with pytest.raises(
        SpecError, match=r"batch_size: .* stage.0.lr: .* stage.0.train: .*; and 1 more$"
    ):
        load_recipe(workspace.competition("tiny"), "tiny", wrong)


def test_an_unknown_recipe_gets_the_nearest_name(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match=r"has no recipe 'tine' .*; did you mean 'tiny'"):
        load_recipe(workspace.competition("tiny"), "tine")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"expected a file .*none.toml, found none"):
        read_toml(tmp_path / "none.toml")


def test_overrides_reach_into_tables_and_lists(workspace: Workspace) -> None:
    recipe = load_recipe(
        workspace.competition("tiny"),
        "tiny",
        [
            "stage.0.epochs=7",
            "augment.rotate=9.5",
            "model=resnet18",
            'tta=["none"]',
            "loss=focal",
            "loss.gamma=1.5",
        ],
    )
    assert recipe.loss == Focal(gamma=1.5)  # a word stands for its table
    assert recipe.stage[0].epochs == 7
    assert recipe.augment == Augment(hflip=True, rotate=9.5)
    assert (str(recipe.model), recipe.tta) == ("resnet18", ("none",))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "expected --set key=value, got 'epochs'"),
        ("stage.3.epochs=1", "'3' leads nowhere; count list items from 0"),
        ("stage.0.epochs.x=1", "'x' is not a key of a table"),
        ("stage.0=1", "'0' is not a key of a table"),
    ],
)
def test_an_override_that_cannot_be_is_said(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        with_overrides({"stage": [{"epochs": 1}]}, [override])


def staged(*stages: dict[str, object], **keys: object) -> SizedRecipe:
    import tomllib

    table = {**tomllib.loads(RECIPE), **keys}
    table["stage"] = [{"epochs": 1, "lr": 1e-3, **stage} for stage in stages]
    return SizedRecipe.model_validate({"name": "r", **table})


def test_every_stage_has_its_own_size_in_the_cache() -> None:
    recipe = staged({"image_size": [16, 24]}, {"image_size": [32, 48]}, {"image_size": [16, 24]})
    assert recipe.cache_sizes == ((16, 24), (32, 48))
    assert recipe.stage_size(recipe.stage[0]) == (16, 24)
    assert "seeds" not in recipe.identity()


def test_a_stage_has_the_recipes_room_to_zoom_or_its_own() -> None:
    recipe = staged(
        {"image_size": 16},
        {"image_size": [19, 32], "presize": [19, 40]},
        {},
        image_size=32,
        presize=[40, 36],
    )
    assert [recipe.stage_presize(stage) for stage in recipe.stage] == [(20, 18), (19, 40), (40, 36)]
    odd = staged({"image_size": 21}, image_size=32, presize=40)
    assert odd.cache_sizes == ((27, 27),)  # 26.25, rounded up


@pytest.mark.parametrize(
    ("stage", "keys", "message"),
    [
        (
            {"presize": 31},
            {},
            r"its image_size, got \[31, 31\] for \[32, 32\]; give the stage a larg",
        ),
        ({"image_size": 16}, {"presize": 24}, r"got \[12, 12\] for \[16, 16\]; give the stage"),
        ({"presize": [32, 5000]}, {}, "must be 8 to 4096 pixels, got 5000"),
        ({"image_size": 4096}, {"presize": 33}, "must be 8 to 4096 pixels, got 4224"),
        ({"image_size": 0}, {}, "must be 8 to 4096 pixels, got 0"),
    ],
)
def test_a_presize_that_cannot_be_is_said(
    stage: dict[str, object], keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        staged(stage, **keys)


def test_a_method_without_stages_needs_a_presize_of_its_image_size_or_more() -> None:
    settings = {"name": "r", "model": Method(name="own"), "image_size": [32, 48]}
    with pytest.raises(
        ValueError,
        match=r"presize must be at least image_size, got \[48, 40\] for \[32, 48\]; "
        r"write presize = \[32, 48\] or more, or leave it out",
    ):
        SizedRecipe.model_validate({**settings, "presize": [48, 40]})
    assert SizedRecipe.model_validate(settings).final_presize == (32, 48)
    assert SizedRecipe.model_validate({**settings, "presize": 48}).final_presize == (48, 48)
    blind = SizedRecipe.model_validate({"name": "p", "model": "prior"})
    assert blind.final_presize is None
