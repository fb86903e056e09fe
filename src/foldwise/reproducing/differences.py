"""What is not as a manifest says: of the data, and of code, versions and machine; a line each."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from foldwise.commands.planning import recipes_of
from foldwise.config.adapter import kinds_of
from foldwise.config.competition import CompetitionSpec, load_competition, tables_of_manifest
from foldwise.config.loading import parse
from foldwise.config.recipe import recorded_recipe
from foldwise.data.competition import CompetitionData
from foldwise.errors import DataError, SpecError, WeightsError, examples
from foldwise.store.files import sha256_file
from foldwise.store.manifests import Manifest
from foldwise.store.versions import versions
from foldwise.submitting import manifest
from foldwise.workspace import Workspace

COMPARED: dict[Literal["labels", "soft", "images", "format"], str] = {
    "labels": "ids, labels or groups of the training rows",
    "soft": "shares or weights of the training rows",
    "images": "image files",
    "format": "ids or columns that the format file asks for",
}


def check_data(told: Manifest, data: CompetitionData, folder: Path) -> list[str]:
    """Check that data are a manifest's; returns a line for each file that says the same otherwise.

    Raises: DataError: they are not; the message has all differences. ImageError: images are
            missing.
    """
    then, now = told.data, manifest.facts(data, told.data["images"] is not None)
    changed = [file for file, digest in then["files"].items() if now["files"].get(file) != digest]
    wrong = []
    for key, what in COMPARED.items():
        if then[key] != now[key]:
            rows = f"{then['rows']['train']} training rows then, {now['rows']['train']} now"
            of = [file for file in changed if file.startswith(f"{data.raw.name}/")]
            hint = _newest(data) if key == "images" else f"; changed: {examples(of) or 'no file'}"
            wrong.append(f"{what} are others than the manifest's ({rows}{hint})")
    outside = {path for each in data.spec.submit.member for path in (each.oof, each.test)}
    wrong += [
        f"{file}, of a member from elsewhere, has changed" for file in changed if file in outside
    ]
    wrong += _weights(told, folder)
    if wrong:
        raise DataError(
            f"{data.spec.name}: the data should be those that the submission was made from, but "
            f"{' | '.join(wrong)}; restore them (nothing was trained)"
        )
    return [f"{file} has other bytes, but says the same" for file in changed]


def other_differences(told: Manifest, workspace: Workspace) -> Iterator[str]:
    """A line for each difference in code, versions, machine, and in what lies in competitions/."""
    folder = workspace.competition(told.competition)
    now = {
        "code": manifest.code(workspace.root, folder),
        "versions": versions(),
        "machine": {**manifest.machine(), "threads": told.machine["threads"]},
    }
    for part, values in now.items():
        for key in dict.fromkeys([*getattr(told, part), *values]):
            was, value = getattr(told, part).get(key), values.get(key)
            if was != value:
                yield f"{part}: {key} was {_short(was)}, is {_short(value)}"
    from foldwise.training.speed.precision import device  # loads torch

    here = device().type
    for run in told.runs:
        if (there := run.resolved["device"]) != here:
            yield f"machine: {run.run} was trained on {there}, here it is on {here}"
    used = "; the manifest's is used"
    try:
        spec, own = tables_of_manifest(told.spec), kinds_of(folder)
        was = parse(CompetitionSpec, spec, "the manifest", own).model_dump(mode="json")
        value = load_competition(folder).model_dump(mode="json")
        if was != value:
            yield f"competition.toml differs in {examples(_different_keys(was, value), 9)}{used}"
    except SpecError as error:
        yield f"competition.toml cannot be compared ({error}){used}"
    recipes = {run.recipe["name"]: run.recipe for run in (*told.teachers, *told.runs)}
    for name, table in recipes.items():
        try:
            was = recorded_recipe(folder, table, f"the manifest's recipe {name}").identity()
            value = recipes_of(folder, [name])[0].identity()
            if was != value:
                yield f"recipe {name} differs in {examples(_different_keys(was, value), 9)}{used}"
        except (SpecError, WeightsError) as error:
            yield f"recipe {name} cannot be compared ({error}){used}"


def _different_keys(was: Mapping[str, object], value: Mapping[str, object]) -> list[str]:
    return [key for key in dict.fromkeys([*was, *value]) if was.get(key) != value.get(key)]


def _short(value: object) -> str:
    return "unknown" if value is None else str(value)[:40]


def _newest(data: CompetitionData) -> str:
    """The image that changed last, where images are files."""
    if "read_image" in data.hooks:
        return ""
    path = max(data.all_rows().frame["path"], key=lambda path: (data.raw / path).stat().st_mtime)
    time = datetime.fromtimestamp((data.raw / path).stat().st_mtime, UTC)
    return f"; the last to change was {path}, {time:%Y-%m-%d %H:%M} UTC"


def _weights(told: Manifest, folder: Path) -> Iterator[str]:
    from foldwise.training.models.backbones import weights_file  # loads torch

    for run in (*told.teachers, *told.runs):
        if run.weights_sha256 is not None:
            source = f"the manifest's run {run.run}"
            file = weights_file(recorded_recipe(folder, run.recipe, source))
            if file is None or sha256_file(Path(file)) != run.weights_sha256:
                yield f"the weights that {run.run} began with are others now ({file})"
