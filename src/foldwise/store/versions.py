"""The versions of Python and of the packages that results depend on, as installed here."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "foldwise",
    "torch",
    "torchvision",
    "fastai",
    "timm",
    "numpy",
    "pandas",
    "pyarrow",
    "pillow",
    "scikit-learn",
    "safetensors",
)


def versions() -> dict[str, str]:
    """The version of each, by its name; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
