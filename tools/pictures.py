"""Draw README's pictures, light and dark, from a finished run: the terminal and the report.

    foldwise submit digits
    .venv/bin/python tools/pictures.py digits

Run it where competitions/, data/ and runs/ lie. Needs Chromium for the report.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COLUMNS = 118
REPORT = (1200, 860)  # pixels: the page's beginning
ANSI = [
    *((0, 0, 0), (207, 34, 46), (17, 99, 41), (125, 78, 0)),
    *((9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)),
]
THEMES = {
    "light": TerminalTheme((255, 255, 255), (36, 41, 47), ANSI),
    "dark": TerminalTheme((22, 27, 34), (201, 209, 217), ANSI),
}
# a terminal's text without fonts from elsewhere: rich's own template asks a CDN for one
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g>
</svg>
"""


def draw_terminal(command: list[str]) -> None:
    """Write what a command prints as terminal-light.svg and terminal-dark.svg."""
    program = str(Path(sys.executable).with_name(command[0]))
    told = subprocess.run(
        [program, *command[1:]],
        env={"PATH": "", "COLUMNS": str(COLUMNS), "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        check=True,
    )
    for name, theme in THEMES.items():
        console = Console(record=True, width=COLUMNS, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(Text.assemble(("$ ", "bold"), (" ".join(command), "bold")))
        console.print(Text.from_ansi(told.stdout.rstrip()), soft_wrap=False)
        console.save_svg(
            str(IMAGES / f"terminal-{name}.svg"), title="foldwise", theme=theme, code_format=SVG
        )


def draw_report(page: Path) -> None:
    """Write the beginning of a report as report-light.png and report-dark.png."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("a browser must draw the report, got none; apt-get install chromium")
    for name, scheme in (("light", 1), ("dark", 0)):
        with tempfile.TemporaryDirectory() as profile:
            subprocess.run(
                [
                    browser,
                    "--headless",
                    "--no-sandbox",
                    "--hide-scrollbars",
                    f"--user-data-dir={profile}",
                    f"--blink-settings=preferredColorScheme={scheme}",
                    f"--window-size={REPORT[0]},{REPORT[1]}",
                    f"--screenshot={IMAGES / f'report-{name}.png'}",
                    page.resolve().as_uri(),
                ],
                capture_output=True,
                check=True,
            )


if __name__ == "__main__":
    competition = sys.argv[1] if len(sys.argv) > 1 else "digits"
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw_terminal(["foldwise", "submit", competition])
    subprocess.run(
        [str(Path(sys.executable).with_name("foldwise")), "report", competition], check=True
    )
    draw_report(Path("runs") / competition / "report.html")
