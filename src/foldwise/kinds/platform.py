"""Platform: where a competition's submissions go, from `platform` or `[platform]`."""

from typing import ClassVar

from foldwise.kinds.family import Family, Kind


class Platform(Kind):
    """What is known of every platform; what it does is in `submitting.platforms`."""

    practice: ClassVar[bool] = False  # its board is here; its ledger is then data, not history

    any_order: ClassVar[bool] = False  # it matches a file's rows and columns by their names

    name: str
    slug: str | None = None  # The platform's name for the competition. Example: "ten-birds"
    # The page on which a person reads about it and downloads the data. Example:
    # "https://www.kaggle.com/competitions/ten-birds"
    page: str | None = None


PLATFORMS = Family(
    base=Platform,
    key="name",
    package="foldwise.submitting.platforms",
    known={
        "local": "local:Local",  # a leaderboard on this machine
        "kaggle": "kaggle:Kaggle",  # through its client
        "drivendata": "drivendata:DrivenData",  # a person uploads the file
    },
    called="platform",
)
