#!/bin/sh
# Makes .venv: foldwise and its tools, at the versions of constraints.txt. Does nothing, silently,
# when that is done already. `make setup` runs it; PYTHON=... names the Python to build with (for
# another one later: rm -rf .venv first). Settings of pip and uv, and proxies, are left as they are.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
here=$(pwd -P)
marker=.venv/.foldwise # "<sha256 of pyproject.toml + constraints.txt>  <project folder>"
log=.venv/install.log

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

finished() {
    sum=$(cat pyproject.toml constraints.txt | { sha256sum 2>/dev/null || shasum -a 256; })
    wanted="${sum%% *}  $here" # with the folder: a .venv that was moved or copied does not work
    [ -x .venv/bin/python ] && [ -x .venv/bin/foldwise ] &&
        [ "$(cat $marker 2>/dev/null)" = "$wanted" ]
}

find_python() { # sets python: the first candidate that runs and is new enough (shims may not run)
    probe='import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(sys.version_info < (3, 11))'
    found=
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else
        set -- python3 python3.13 python3.12 python3.11 python
    fi
    for python; do
        if version=$("$python" -c "$probe" 2>/dev/null) && [ -n "$version" ]; then
            # Not the Python of an activated .venv, which may be about to be removed
            python=$("$python" -c 'import sys; print(sys._base_executable or sys.executable)')
            return
        fi
        found="$found${found:+, }$python ${version:-does not run}"
    done
    die "needs Python 3.11 or newer; found: $found." \
        "Install one and run make setup again, or name yours: make setup PYTHON=/path/to/python3.12"
}

space() { # "<KB free> <which file system>" for a folder; nothing where df cannot tell
    df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4, ($1 ~ "^/" ? $1 : $6) }'
}

room() { # GB, folder, its `space`: whether so much is free there
    free=$((${3%% *} / 1000000))
    [ "$free" -ge "$1" ] && return
    lacking="needs $1 GB free in $2, there are $free GB"
    return 1
}

check_disk() { # what .venv holds already need not be free once more
    temp=${TMPDIR:-/tmp}
    [ -d "$temp" ] || temp=/tmp
    project_space=$(space "$here")
    temp_space=$(space "$temp")
    [ -n "$project_space" ] && [ -n "$temp_space" ] || return 0
    held=$(du -sk .venv 2>/dev/null | awk '{ print int($1 / 1000000) }')
    room $((7 - ${held:-0})) "$here" "$project_space" ||
        die "$lacking. Make room, then run make setup again"
    # Downloads are put there, and removed afterwards; a local package index needs none of it.
    if [ "${project_space#* }" = "${temp_space#* }" ]; then
        room $((12 - ${held:-0})) "$here" "$project_space" ||
            echo "setup: at most, it $lacking (downloads in $temp included). Going on ..." >&2
    else
        room 4 "$temp" "$temp_space" ||
            echo "setup: downloading, it $lacking. Should it fail, set TMPDIR to another" \
                "folder. Going on ..." >&2
    fi
}

need_venv_module() {
    "$python" -c 'import venv, ensurepip' 2>/dev/null || die "needs the Python modules venv and" \
        "ensurepip, $python ($version) lacks them. Install them (apt-get install python3-venv), or" \
        "install uv; then run make setup again"
}

create() { # .venv anew, by the command given, which is heard only if it fails
    rm -rf .venv
    said=$("$@" 2>&1) || { mkdir -p .venv && printf '%s\n' "$said" >$log && return 1; }
}

with_uv() { # --seed puts pip into .venv: what uv cannot bring up to date, pip can
    [ -n "$previous" ] || create uv venv --quiet --seed --python "$python" .venv || return
    uv pip install --python .venv/bin/python -c constraints.txt -e '.[dev]' >$log 2>&1
}

with_pip() {
    if [ -z "$previous" ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        previous=
        create "$python" -m venv .venv || return
    fi
    .venv/bin/python -m pip install --progress-bar off -c constraints.txt -e '.[dev]' >$log 2>&1
}

if command -v flock >/dev/null 2>&1; then
    exec 9<tools/setup.sh
    flock -n 9 || { echo "Waiting for another make setup ..." && flock 9; } || :
fi
finished && exit 0
find_python
check_disk
uv=$(command -v uv) || need_venv_module

# A .venv that was complete here is brought up to date; any other, moved or half made, is replaced.
previous=$(cat $marker 2>/dev/null) || previous=
if [ "${previous#*  }" != "$here" ] || ! .venv/bin/python -c '' 2>/dev/null; then previous=; fi
rm -f $marker
doing="Installing foldwise into .venv (about 6 GB, a few minutes)"
[ -z "$previous" ] || doing="Bringing .venv up to date"
echo "$doing ..."
if [ -z "$uv" ] || ! with_uv; then
    if [ -n "$uv" ]; then
        reason=$(grep -m 1 -i -E 'error|failed' $log) || reason="no reason given"
        echo "uv failed ($reason); starting over with pip ..."
        need_venv_module
    fi
    if ! with_pip; then
        tail -n 15 $log >&2
        [ -z "$previous" ] || printf '%s\n' "$previous" >$marker # the next try goes on from here
        die "the installation failed; its last lines are above, all of them in $log"
    fi
fi
printf '%s\n' "$wanted" >$marker.new
mv $marker.new $marker
