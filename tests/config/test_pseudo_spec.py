"""What a recipe may say of pseudo-labels."""

import pytest

from foldwise.config.recipe import load_recipe
from foldwise.errors import SpecError
from foldwise.workspace import Workspace
from tiny import RECIPE


def test_what_is_not_said_of_pseudo_labels_is_careful(workspace: Workspace) -> None:
    folder = workspace.competition("tiny")
    recipe = load_recipe(folder, "tiny", ['pseudo.run="first"'])
    assert recipe.pseudo is not None
    assert recipe.pseudo.model_dump() == {
        "run": "first",
        "confidence": 0.95,
        "share": 0.5,
        "weight": 0.5,
        "soft": False,
    }
    assert recipe.identity()["pseudo"]["run"] == "first"
    assert recipe.short().pseudo is None


def test_a_recipe_without_them_has_the_identity_that_it_always_had(workspace: Workspace) -> None:
    assert "pseudo" not in load_recipe(workspace.competition("tiny"), "tiny").identity()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("confidence = 0.9", "the key 'pseudo.run' is missing"),
        ('run = "a"\nconfidence = 1.0', "pseudo.confidence: input should be less than 1, got 1.0"),
        ('run = "a"\nconfidence = 0', "pseudo.confidence: input should be greater than 0, got 0"),
        ('run = "a"\nshare = 1', "pseudo.share: input should be less than 1, got 1"),
        ('run = "a"\nweight = 1.5', "pseudo.weight: input should be less than or equal to 1, got"),
        ('run = "a"\nweigth = 1', "unknown key 'pseudo.weigth'; did you mean 'weight'?"),
        (
            'run = "tiny"',
            "pseudo.run must name another recipe, or a run that is trained already, got 'tiny', "
            "which is this recipe itself",
        ),
    ],
)
def test_a_mistake_in_pseudo_is_said(workspace: Workspace, lines: str, message: str) -> None:
    path = workspace.competition("tiny") / "recipes" / "tiny.toml"
    path.write_text(f"{RECIPE}\n[pseudo]\n{lines}\n")
    with pytest.raises(SpecError) as caught:
        load_recipe(workspace.competition("tiny"), "tiny")
    assert message in str(caught.value)


def test_a_prior_cannot_be_taught(workspace: Workspace) -> None:
    path = workspace.competition("tiny") / "recipes" / "tiny.toml"
    path.write_text('model = "prior"\n[pseudo]\nrun = "first"\n')
    with pytest.raises(SpecError, match=r"takes no pseudo, but .*; remove what it does not take"):
        load_recipe(workspace.competition("tiny"), "tiny")
