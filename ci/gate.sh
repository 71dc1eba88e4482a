#!/usr/bin/env bash
# The gate: judges an implementation, or merges the shards of a run, and ends with the exit status
# that CONFORMANCE.md gives the verdict. action.yml and ci/gitlab.yml run this and nothing else.
#
#   GATE_IMPL=conformance/mine.toml path/to/ci/gate.sh [ARGUMENT OF PYTEST…]
#
# GATE_IMPL       manifest of the implementation; its `build` step is run first
# GATE_SUITE      suite to judge by: a checkout, a wheel, or a version; default: this checkout
# GATE_PYTHON     Python that runs the suite, 3.11 or newer; default: python3
# GATE_VENV       virtual environment that is made, or used again; default: one that is removed
# GATE_REPORT     directory of the reports; default: .conformance/gate
# GATE_STRICT     true: what this host could not run is red
# GATE_SHARD      K/N: judge the Kth of N parts of the tests
# GATE_ARGUMENTS  arguments of pytest in one text, quoted as in a shell
# GATE_MERGE      in place of GATE_IMPL: the directories of all shards, patterns allowed
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE PYTHONPATH

refuse() {
    echo "gate: $1" >&2
    exit 4
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
impl=${GATE_IMPL:-} merge=${GATE_MERGE:-} shard=${GATE_SHARD:-}
suite=${GATE_SUITE:-$here} report=${GATE_REPORT:-.conformance/gate} python=${GATE_PYTHON:-python3}

[[ -n $impl || -n $merge ]] || refuse "GATE_IMPL names the manifest of the implementation"
[[ -z $impl || -f $impl ]] || refuse "GATE_IMPL: there is no file $impl"
[[ -z $shard || $shard =~ ^[1-9][0-9]*/[1-9][0-9]*$ ]] || refuse "GATE_SHARD: $shard is not K/N"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "GATE_PYTHON: $python is older than 3.11"
if [[ -e $suite ]]; then
    suite="$(realpath "$suite")[suite]"
elif [[ $suite =~ ^[0-9] ]]; then
    suite="blackhole-conformance[suite]==$suite"
else
    refuse "GATE_SUITE: $suite is no file and no version"
fi

# 1. The suite, in an environment that nothing else is in.
venv=${GATE_VENV:-}
if [[ -z $venv ]]; then
    venv=$(mktemp -d)
    trap 'rm -rf "$venv"' EXIT
fi
if [[ ! -x $venv/bin/blackhole-conformance ]]; then
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$suite"
fi

# 2. The verdict.
if [[ -n $merge ]]; then
    # shellcheck disable=SC2206 # a pattern names the shards
    shards=($merge)
    judge=("$venv/bin/blackhole-conformance" merge "${shards[@]}" "--report=$report")
else
    mapfile -t given < <("$venv/bin/python" -c \
        'import os, shlex; print(*shlex.split(os.environ.get("GATE_ARGUMENTS", "")), sep="\n")')
    # Arguments that stand in somebody's settings are for somebody's own tests.
    judge=("$venv/bin/pytest" -o addopts= --pyargs conformance "--impl=$impl" "--report=$report")
    [[ ${GATE_STRICT:-false} != true ]] || judge+=(--strict)
    [[ -z $shard ]] || judge+=("--group=${shard%/*}" "--splits=${shard#*/}")
    for argument in "${given[@]}" "$@"; do
        [[ -z $argument ]] || judge+=("$argument")
    done
fi
rm -f "$report/report.json"
status=0
# A job that is cancelled ends the suite as Ctrl-C does: nothing that it started stays behind.
running='' cancelled='' disturbed=''
cancel() {
    cancelled=yes disturbed=yes
    [[ -z $running ]] || kill -TERM "$running" 2>/dev/null || true
}
trap cancel TERM INT
"${judge[@]}" &
running=$!
# It came between the two lines above.
[[ -z $cancelled ]] || cancel
while :; do
    # A wait that a signal disturbs tells of the signal, even where the suite has ended meanwhile.
    disturbed=''
    wait "$running" && status=0 || status=$?
    [[ -n $disturbed ]] || break
done
trap - TERM INT

# 3. What CI shows of it.
verdict=none
if [[ -f $report/report.json ]]; then
    verdict=$("$venv/bin/python" -c \
        'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))["verdict"])' \
        "$report/report.json")
fi
if [[ -n ${GITHUB_OUTPUT:-} ]]; then
    printf 'verdict=%s\nreport=%s\n' "$verdict" "$report" >>"$GITHUB_OUTPUT"
fi
if [[ -n ${GITHUB_STEP_SUMMARY:-} && $verdict == none ]]; then
    # What has a report writes its summary there by itself.
    echo "No report: exit status $status" >>"$GITHUB_STEP_SUMMARY"
fi
echo "gate: $verdict, exit status $status; reports in $report"
exit "$status"
