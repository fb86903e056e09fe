"""DrivenData: no public API takes submissions; a person uploads the file and records its score."""

from foldwise.shapes.submission import read_submission
from foldwise.submitting.platforms import Parcel, Receipt


def send(parcel: Parcel) -> Receipt:
    """The file, checked once more by the platform's rules, the page to upload it to, what follows.

    Raises: SubmissionError: the file was changed since it was written, and breaks a rule.
    """
    read_submission(parcel.file, parcel.shape)
    page = f"{(parcel.spec.page or 'https://www.drivendata.org/').rstrip('/')}/submissions/"
    return Receipt(
        "ready",
        f"upload {parcel.file} by hand at {page}, then enter its score: foldwise status "
        f"{parcel.file.name} --record --public <score> --rank <place>",
    )
