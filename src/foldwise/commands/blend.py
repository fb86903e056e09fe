"""`blend`: the runs of trained recipes become one prediction."""

from collections.abc import Sequence

from foldwise.commands.planning import blending_of, caches_of, recipes_of, scheme_folds
from foldwise.data.opened import OpenCompetition
from foldwise.ensembling.blend import Blend, blend_runs
from foldwise.submitting.parts import board_parts
from foldwise.training.fitting.run import RunData, open_runs


def blend(
    competition: OpenCompetition,
    recipes: Sequence[str] = (),
    method: str | None = None,
    members: Sequence[str] = (),
) -> Blend:
    """The blend of trained recipes (those of `[submit]` by default) with all their seeds.

    members: from elsewhere, each as NAME=OOF,TEST. Raises: see `blend_runs`.
    """
    data, workspace = competition.data, competition.workspace
    chosen = recipes_of(
        competition.folder, recipes or data.spec.submit.recipes, runs=competition.files
    )
    caches = [caches_of(data, recipe) for recipe in chosen]
    folds = scheme_folds(competition)  # after the caches, as in `train`
    runs = [
        run
        for recipe, its_own in zip(chosen, caches, strict=True)
        for run in open_runs(
            workspace.runs,
            RunData(competition=data, folds=folds, caches=its_own),
            recipe,
        )
    ]
    parts = board_parts(competition)
    by = blending_of(competition, method) if method else None
    return blend_runs(competition.files.path, data, runs, by, members, parts)
