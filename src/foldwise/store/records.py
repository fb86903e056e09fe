"""What the JSON files of foldwise say, as typed values with a version; and how they are read."""

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from foldwise.errors import FoldwiseError, StorageError, examples
from foldwise.store.files import read_json, write_json

Plain = dict[str, Any]  # JSON whose meaning belongs to another room
VERSION = "version"  # the key of a file's version; files from before there were any are of 0


class Values(BaseModel):
    """A table of a file. Keys that are not known here are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def plain(self) -> Plain:
        """What was given, as JSON has it."""
        return self.model_dump(exclude_unset=True)


class Record(Values):
    """A file. In memory it is always of the newest version.

    A kind of file that changes gets a higher `newest`, and `upgrade` makes of older values newer
    ones; what can no longer be used is below `oldest`.
    """

    newest: ClassVar[int] = 1
    oldest: ClassVar[int] = 0
    error: ClassVar[type[FoldwiseError]] = StorageError

    @classmethod
    def upgrade(cls, value: object, version: int) -> object:
        """What a file of an earlier version says, as the newest one says it."""
        return value

    @classmethod
    def remedy(cls, path: Path) -> str:
        """What to do about a file that cannot be used."""
        return f"remove {path} and run the same command again"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record in a file.

        Raises: StorageError: it is damaged. `error`: another version of foldwise wrote it.
        """
        return cls.parse(read_json(path), path)

    @classmethod
    def parse(cls, value: object, path: Path) -> Self:
        """The record of a file's values. Raises: `error`: another version of foldwise wrote it."""
        version = value.get(VERSION, 0) if isinstance(value, dict) else 0
        if version > cls.newest:
            raise cls.error(
                f"{path} was written by a later version of foldwise (of version {version}, known "
                f"here up to {cls.newest}); update foldwise, or {cls.remedy(path)}"
            )
        if isinstance(value, dict):
            value = {key: each for key, each in value.items() if key != VERSION}
        try:
            if version < cls.oldest:
                raise cls.error(f"{_earlier(path)}; {cls.remedy(path)}")
            return cls.model_validate(cls.upgrade(value, version))
        except ValidationError as error:
            keys = [".".join(map(str, each["loc"])) for each in error.errors()]
            raise cls.error(
                f"{_earlier(path)}, which did not write down all that is needed now "
                f"({examples(keys)}); {cls.remedy(path)}"
            ) from error

    @classmethod
    def read_if_there(cls, path: Path) -> Self | None:
        """The record in a file; None where there is no file. Raises: see `read`."""
        return cls.read(path) if path.is_file() else None

    def stands_in(self, path: Path) -> bool:
        """Whether a file is there and says exactly this; one of an earlier version may not."""
        if not path.is_file():
            return False
        found, own = read_json(path), self.model_dump(mode="json", exclude_unset=True)
        return isinstance(found, dict) and {**found, VERSION: 0} == {**own, VERSION: 0}

    def values(self) -> Plain:
        """What the file says."""
        return {VERSION: self.newest, **self.plain()}

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.values())


def _earlier(path: Path) -> str:
    return f"{path} was written by an earlier version of foldwise"
