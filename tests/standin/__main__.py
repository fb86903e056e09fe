"""Serve one competition by hand: `PYTHONPATH=tests python -m standin --help`."""

import argparse
import json
import threading
from pathlib import Path

from standin.grading import log_loss_grade
from standin.server import Standin
from standin.state import Competition, Team


def main() -> None:
    """Serve until Ctrl-C, and say first how to reach it."""
    parser = argparse.ArgumentParser(prog="python -m standin", description=__doc__)
    parser.add_argument("--competition", required=True, help="its slug: leaf-classification")
    parser.add_argument("--zip", type=Path, required=True, help="the data files")
    parser.add_argument(
        "--truth", type=Path, required=True, help="CSV of the test rows: id and classes, or label"
    )
    parser.add_argument("--port", type=int, default=0, help="by default any that is free")
    parser.add_argument("--daily", type=int, default=5, help="submissions a day (default 5)")
    parser.add_argument("--teams", type=float, nargs="*", default=[], help="others' scores")
    options = parser.parse_args()
    teams = [Team(f"team {n}", score) for n, score in enumerate(options.teams, 1)]
    with Standin(port=options.port) as server:
        server.host(
            Competition(
                options.competition,
                log_loss_grade(options.truth.read_bytes()),
                options.zip.read_bytes(),
                teams=teams,
                daily=options.daily,
            )
        )
        for name, value in server.pointing(bearer=True).items():
            print(f"export {name}={json.dumps(value)}", flush=True)
        print(f"# serving {options.competition} at {server.url}; Ctrl-C ends", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"# {len(server.world.submissions)} submissions")


if __name__ == "__main__":
    main()
