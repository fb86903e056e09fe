"""DrivenData: no public API takes submissions; a person uploads the file and records its score."""

from typing import Literal

from foldwise.shapes.submission import read_submission
from foldwise.submitting.platforms import Parcel, Receipt, Shared


class DrivenData(Shared):
    """DrivenData: a person uploads the file."""

    name: Literal["drivendata"] = "drivendata"

    def send(self, parcel: Parcel) -> Receipt:
        """The file, checked again by the platform's rules, the page to upload it to, what follows.

        Raises: SubmissionError: the file was changed since it was written, and breaks a rule.
        """
        read_submission(parcel.file, parcel.shape)
        page = f"{(self.page or 'https://www.drivendata.org/').rstrip('/')}/submissions/"
        return Receipt(
            state="ready",
            message=f"upload {parcel.file} by hand at {page}, then enter its score: foldwise "
            f"status {parcel.file.name} --record --public <score> --rank <place>",
        )
