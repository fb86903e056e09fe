"""Pages read for tests: their tables, what they would fetch, and what they are about."""

from html.parser import HTMLParser

from foldwise.workspace import Workspace


class Page(HTMLParser):
    """A page: its tables by their id, and the addresses of all that it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.row: list[str] | None = None
        self.cell: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "table":
            self.open.append(values.get("id") or "")
            self.tables[self.open[-1]] = []
        elif tag == "tr":
            self.row = []
        elif tag in ("td", "th"):
            self.cell = ""
        for key in ("src", "href"):
            address = values.get(key)
            if address and tag in ("img", "script", "link", "iframe", "image"):
                self.fetched.append(address)

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self.row is not None and self.cell is not None:
            self.row.append(self.cell.strip())
            self.cell = None
        elif tag == "tr" and self.row is not None:
            self.tables[self.open[-1]].append(self.row)
            self.row = None
        elif tag == "table":
            self.open.pop()


def run_of(workspace: Workspace) -> str:
    (path,) = (workspace.runs / "tiny").glob("*/run.json")
    return path.parent.name


def blend_of(workspace: Workspace) -> str:
    (path,) = (workspace.runs / "tiny").glob("*/blend.json")
    return path.parent.name
