"""What each method of the wire does and replies: JSON fields as kagglesdk 0.1.37 names them."""

import csv
import io
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from hashlib import sha256
from typing import Any

from standin.state import Competition, RefusedError, Submission, Team, Upload, World

Body = dict[str, Any]
BOARD = (
    "Rank",
    "TeamId",
    "TeamName",
    "LastSubmissionDate",
    "Score",
    "SubmissionCount",
    "TeamMemberUserNames",
)


@dataclass
class Reply:
    """An HTTP answer. `cut`: the connection ends after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


def introspect(world: World, body: Body, base: str) -> Body:
    """Whose token it is; a wrong one is not active."""
    if body.get("token") != world.token:
        return {}
    return {"active": True, "username": world.username, "userId": 1}


def get_competition(world: World, body: Body, base: str) -> Body:
    """The competition's facts."""
    competition = world.find(body.get("competitionName"))
    return {
        "id": 1,
        "ref": f"https://www.kaggle.com/competitions/{competition.slug}",
        "title": competition.slug,
        "deadline": _time(competition.deadline),
        "maxDailySubmissions": competition.daily,
        "teamCount": len(world.board(competition)),
        "userHasEntered": competition.rules,
        "isKernelsSubmissionsOnly": competition.notebooks_only,
        "submissionsDisabled": competition.disabled,
    }


def list_competitions(world: World, body: Body, base: str) -> Body:
    """All competitions whose slug has the search words in it."""
    found = [slug for slug in world.competitions if str(body.get("search", "")) in slug]
    return {"competitions": [get_competition(world, {"competitionName": s}, base) for s in found]}


def start_upload(world: World, body: Body, base: str) -> Body:
    """A token, and the URL to put the file to."""
    competition = _entered(world, body)
    token = uuid.uuid4().hex
    world.uploads[token] = _upload_of(competition, body)
    return {"token": token, "createUrl": f"{base}/upload/{token}"}


def put(world: World, token: str, content: bytes) -> Reply:
    """Keep a file that was announced."""
    upload = world.uploads.get(token)
    if upload is None:
        raise RefusedError(404, "no such upload")
    if len(content) != upload.size:
        raise RefusedError(400, f"{upload.size} bytes were announced, {len(content)} came")
    upload.content = content
    return Reply(201, b"", "text/plain")


def create_submission(world: World, body: Body, base: str) -> Body:
    """Accept an uploaded file, unless the rules or the quota say no."""
    competition = _entered(world, body)
    upload = world.uploads.get(str(body.get("blobFileTokens")))
    if upload is None or upload.content is None:
        raise RefusedError(400, "Submission file not found")
    if competition.disabled:
        raise RefusedError(400, "Submissions are disabled for this competition")
    if competition.notebooks_only:
        raise RefusedError(400, "This competition only accepts submissions from notebooks")
    limits = world.limits(competition)
    if not limits["numAllowedNow"]:
        used = f"{limits['numToday']} of {competition.daily}"
        raise RefusedError(400, f"Your team has used its daily submission allowance ({used}).")
    description = str(body.get("submissionDescription", ""))
    made = world.accept(competition.slug, description, upload.content, upload.file_name)
    return {"message": f"Successfully submitted to {competition.slug}", "ref": made.ref}


def list_submissions(world: World, body: Body, base: str) -> Body:
    """A page of the team's submissions, the newest first."""
    competition = world.find(body.get("competitionName"))
    every = world.of(competition.slug)
    shown = [each for each in every if world.listed(each)]
    page, following = _page(shown, body, lambda each: str(each.ref))
    if not body.get("pageToken") and body.get("page", 1) == 1:  # a list is asked for, not a page
        for each in every:
            each.lists += 1
    for each in page:
        each.asks += 1
    return {"submissions": [_record(world, each) for each in page], "nextPageToken": following}


def get_submission(world: World, body: Body, base: str) -> Body:
    """One submission."""
    for each in world.submissions:
        if each.ref == body.get("ref"):
            each.asks += 1
            return _record(world, each)
    raise RefusedError(404, f"Submission {body.get('ref')} not found")


def get_limits(world: World, body: Body, base: str) -> Body:
    """What the team has used and may still send."""
    return dict(world.limits(world.find(body.get("competitionName"))))


def list_files(world: World, body: Body, base: str) -> Body:
    """A page of the data files."""
    competition = world.find(body.get("competitionName"))
    files = list(competition.files().items())
    page, following = _page(files, body, lambda each: each[0])
    date = _time(competition.modified)
    rows = [{"name": n, "totalBytes": len(data), "creationDate": date} for n, data in page]
    return {"files": rows, "nextPageToken": following}


def download_files(world: World, body: Body, base: str) -> Reply:
    """A redirect to all data files as one zip."""
    competition = _entered(world, body)
    return _redirect(f"{base}/files/{competition.slug}/{competition.slug}.zip")


def download_file(world: World, body: Body, base: str) -> Reply:
    """A redirect to one data file."""
    competition = _entered(world, body)
    name = str(body.get("fileName"))
    if name not in competition.files():
        raise RefusedError(404, f"File '{name}' not found")
    return _redirect(f"{base}/files/{competition.slug}/{name}")


def get_leaderboard(world: World, body: Body, base: str) -> Body:
    """A page of the public leaderboard."""
    rows = list(enumerate(world.board(world.find(body.get("competitionName"))), 1))
    page, following = _page(rows, body, lambda row: str(row[0]))
    records = [
        {
            "teamId": 7000 + rank,
            "teamName": team.name,
            "submissionDate": team.date.replace(" ", "T"),
            "score": f"{team.score:.5f}",
        }
        for rank, team in page
    ]
    return {"submissions": records, "nextPageToken": following}


def download_leaderboard(world: World, body: Body, base: str) -> Reply:
    """The public leaderboard: a zip with one CSV."""
    competition = world.find(body.get("competitionName"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(BOARD)
    for rank, team in enumerate(world.board(competition), 1):
        writer.writerow(_board_row(rank, team))
    name = f"{competition.slug}-publicleaderboard-{world.now():%Y-%m-%dT%H:%M:%S}.csv"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "\ufeff" + text.getvalue())
    return Reply(body=packed.getvalue(), type="application/zip")


def send_file(world: World, path: str, headers: Any) -> Reply:
    """A data file (`<slug>/<name>`), whole or from where `Range` says."""
    slug, _, name = path.partition("/")
    competition = world.find(slug)
    whole = competition.archive if name == f"{slug}.zip" else competition.files().get(name)
    if whole is None:
        raise RefusedError(404, f"File '{name}' not found")
    tag = f'"{sha256(whole).hexdigest()[:32]}"'
    modified = format_datetime(competition.modified, usegmt=True)
    said = {"ETag": tag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    wanted = headers.get("Range", "")
    condition = headers.get("If-Range")
    if not wanted or (condition and not _same(condition, tag, modified)):
        return Reply(200, whole, "application/zip", said)
    start = int(wanted.removeprefix("bytes=").split("-")[0])
    if start >= len(whole):
        return Reply(416, b"", "text/plain", {**said, "Content-Range": f"bytes */{len(whole)}"})
    said["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
    return Reply(206, whole[start:], "application/zip", said)


METHODS: dict[str, Callable[[World, Body, str], Body | Reply]] = {
    "IntrospectToken": introspect,
    "GetCompetition": get_competition,
    "ListCompetitions": list_competitions,
    "StartSubmissionUpload": start_upload,
    "CreateSubmission": create_submission,
    "ListSubmissions": list_submissions,
    "GetSubmission": get_submission,
    "GetSubmissionLimits": get_limits,
    "ListDataFiles": list_files,
    "DownloadDataFiles": download_files,
    "DownloadDataFile": download_file,
    "GetLeaderboard": get_leaderboard,
    "DownloadLeaderboard": download_leaderboard,
}


def _time(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _entered(world: World, body: Body) -> Competition:
    competition = world.find(body.get("competitionName"))
    if not competition.rules:
        raise RefusedError(403, "You must accept this competition's rules before you can continue")
    return competition


def _upload_of(competition: Competition, body: Body) -> Upload:
    name, size = str(body.get("fileName", "")), int(body.get("contentLength", 0))
    if not name or not size:
        raise RefusedError(400, "A file needs a name and a length")
    return Upload(competition.slug, name, size)


def _page(items: list[Any], body: Body, key: Callable[[Any], str]) -> tuple[list[Any], str]:
    """The items of the page that is asked for, and the next page's token, "" after the last.

    A token names the item that the next page begins with, so that new items move nothing.
    """
    size, token = int(body.get("pageSize") or 20), body.get("pageToken")
    keys = [key(item) for item in items]
    if token and token not in keys:
        raise RefusedError(400, "Invalid page token")
    start = keys.index(token) if token else (int(body.get("page") or 1) - 1) * size
    return items[start : start + size], "".join(keys[start + size : start + size + 1])


def _record(world: World, made: Submission) -> Body:
    status = world.status(made)
    over = world.competitions[made.slug].deadline < world.now()
    done = status == "COMPLETE"
    return {
        "ref": made.ref,
        "date": _time(made.date),
        "description": made.description,
        "fileName": made.file_name,
        "totalBytes": len(made.content),
        "publicScore": made.public if done else "",
        "privateScore": made.private if done and over else "",
        "status": status,
        "errorDescription": made.error if status == "ERROR" else "",
        **made.odd,
    }


def _board_row(rank: int, team: Team) -> list[object]:
    score = f"{team.score:.5f}"
    return [rank, 7000 + rank, team.name, team.date, score, team.submissions, team.name.lower()]


def _redirect(url: str) -> Reply:
    return Reply(302, b"", "text/plain", {"Location": url})


def _same(condition: str, tag: str, modified: str) -> bool:
    """Whether If-Range names the file as it is: by its tag, or by its date."""
    if condition.startswith('"'):
        return condition == tag
    return parsedate_to_datetime(condition) == parsedate_to_datetime(modified)
