"""Platforms to which a person uploads: the file is ready, and the steps are said."""

from foldwise.submitting.platforms import Parcel, Receipt


def send_drivendata(parcel: Parcel) -> Receipt:
    """DrivenData has no public API for submissions; its web form takes the file."""
    page = f"{(parcel.spec.page or 'https://www.drivendata.org/').rstrip('/')}/submissions/"
    return Receipt("ready", f"upload {parcel.file} by hand at {page}")


def send_kaggle(parcel: Parcel) -> Receipt:
    """The command of Kaggle's own client that uploads the file; foldwise does not run it yet."""
    command = (
        f'kaggle competitions submit -c {parcel.spec.slug} -f {parcel.file} -m "{parcel.file.stem}"'
    )
    return Receipt("ready", f"upload it with Kaggle's client: {command}")
