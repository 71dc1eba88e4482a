"""`blackhole-conformance known-failures`: what it makes of a manifest, to the letter."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from conformance.commands.__main__ import main
from conformance.harness import requirements
from conformance.harness.implementation import ManifestError, load

THIS, OTHER = "0123456789ab", "ba9876543210"

MANIFEST = """\
# The manifest of mine.
name = "mine"  # as in reports
language = "Go"
command = ["./mine"]
claims = ["service"]

[env]
TRACE = "1"  # until the leak is found

# What we know of, and who is at it.

[[known_failures]]
id = "IDN-3"
reason = "names the wrong field"
link = "https://example.test/3"
expires = 2999-01-01  # after the release
kind = "bug"

# Mode of the socket: systemd's.
[[known_failures]]
id = "SOCK-2"
reason = "made by systemd"
link = "https://example.test/2"
expires = 2999-01-01
kind = "wontfix"

# Set by CI, and not ours.

"""


def told(verdict: str, *prints: str, reason: str = "x: expected 1, observed 2") -> dict[str, Any]:
    return {
        "level": "MUST",
        "verdict": verdict,
        "tests": 1,
        "seconds": 0.1,
        "reason": "" if verdict == "PASS" else reason,
        "fingerprints": list(prints),
    }


def given(tmp_path: Path, manifest: str, narrowed: tuple[str, ...] = (), **told: Any) -> list[str]:
    """Write a manifest and a report; return the arguments that name them."""
    report = {
        "schema": 1,
        "verdict": "non-conformant",
        "implementation": {"name": "mine", "version": "1"},
        "suite": {"version": "0.1.0", "commit": "unknown"},
        "claims": ["service"],
        "seed": 1,
        "counts": {},
        "narrowed": list(narrowed),
        "requirements": {name.replace("_", "-"): one for name, one in told.items()},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "mine.toml").write_text(manifest)
    return ["known-failures", str(tmp_path), str(tmp_path / "mine.toml")]


def written(tmp_path: Path) -> str:
    return (tmp_path / "mine.toml").read_text()


def ids(text: str) -> list[str]:
    return [entry["id"] for entry in tomllib.loads(text).get("known_failures", [])]


def test_what_passes_goes_and_what_fails_comes_in_the_order_of_the_text(tmp_path: Path) -> None:
    arguments = given(
        tmp_path,
        MANIFEST,
        SOCK_2=told("KNOWN_FAILURE", THIS),
        IDN_3=told("STALE_KNOWN_FAILURE"),
        PROC_6=told("FAIL", THIS, OTHER),
        PROC_7=told("PASS"),
    )

    assert main([*arguments, "--write"]) == 0

    head, tail = (
        MANIFEST.split('[[known_failures]]\nid = "IDN-3"', maxsplit=1)[0],
        "Set by CI, and not ours.\n",
    )
    assert written(tmp_path) == (
        f"{head}"
        "# x: expected 1, observed 2\n"
        '[[known_failures]]\nid = "PROC-6"\nreason = ""\nlink = ""\nexpires = ""\nkind = ""\n\n'
        "# Mode of the socket: systemd's.\n"
        '[[known_failures]]\nid = "SOCK-2"\nreason = "made by systemd"\n'
        'link = "https://example.test/2"\nexpires = 2999-01-01\nkind = "wontfix"\n\n'
        f"# {tail}\n"
    )


def test_without_write_the_difference_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = given(tmp_path, MANIFEST, IDN_3=told("PASS"))

    assert main(arguments) == 1

    assert written(tmp_path) == MANIFEST
    lines = capsys.readouterr().out.splitlines()
    assert '-id = "IDN-3"' in lines
    assert "-expires = 2999-01-01  # after the release" in lines
    assert not [line for line in lines[2:] if line.startswith("+")]


def test_a_list_that_is_up_to_date_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untidy = MANIFEST.replace('reason = "made', 'reason   =   "made').replace("IDN-3", "PROC-9")
    arguments = given(tmp_path, untidy, SOCK_2=told("KNOWN_FAILURE", THIS))

    assert (main(arguments), main([*arguments, "--write"])) == (0, 0)

    assert written(tmp_path) == untidy
    assert capsys.readouterr().out == "the list is up to date\n" * 2


@pytest.mark.parametrize("verdict", ["NOT_RUN", "INCONCLUSIVE", "UNTESTABLE", "HARNESS_ERROR"])
def test_what_was_not_seen_stays(tmp_path: Path, verdict: str) -> None:
    known = MANIFEST.replace("IDN-3", "PROC-9")

    assert main(given(tmp_path, known, SOCK_2=told(verdict))) == 0


def test_of_a_narrowed_run_nothing_is_dropped(tmp_path: Path) -> None:
    known = MANIFEST.replace("IDN-3", "PROC-9")
    arguments = given(
        tmp_path, known, ("keyword: sock",), SOCK_2=told("PASS"), SOCK_4=told("FAIL", THIS)
    )

    assert main([*arguments, "--write"]) == 0

    assert ids(written(tmp_path)) == ["PROC-9", "SOCK-2", "SOCK-4"]


def test_an_entry_with_a_fingerprint_stays_for_its_own_failure_alone(tmp_path: Path) -> None:
    known = MANIFEST.replace('kind = "wontfix"', f'kind = "wontfix"\nfingerprint = "{THIS}"')

    main([*given(tmp_path, known, SOCK_2=told("FAIL", THIS, OTHER)), "--write"])
    both = tomllib.loads(written(tmp_path))["known_failures"]
    main([*given(tmp_path, known, SOCK_2=told("FAIL", OTHER)), "--write"])
    other = tomllib.loads(written(tmp_path))["known_failures"]

    assert [(one["reason"], one.get("fingerprint")) for one in both] == [
        ("made by systemd", THIS),
        ("", OTHER),
        ("names the wrong field", None),
    ]
    assert [(one["id"], one.get("fingerprint")) for one in other] == [
        ("SOCK-2", OTHER),
        ("IDN-3", None),
    ]


def test_new_entries_may_have_fingerprints(tmp_path: Path) -> None:
    arguments = given(tmp_path, MANIFEST, PROC_6=told("FAIL", THIS, OTHER))

    main([*arguments, "--write", "--fingerprints"])

    new = [one for one in tomllib.loads(written(tmp_path))["known_failures"] if not one["reason"]]
    assert [one["fingerprint"] for one in new] == [THIS, OTHER]


@pytest.mark.parametrize("last", ['claims = ["service"]', "known_failures = []", "[env]\nA = '1'"])
def test_a_manifest_without_a_list_gets_one_at_its_end(tmp_path: Path, last: str) -> None:
    plain = f'name = "mine"\nlanguage = "Go" # or C\n{last}'

    main([*given(tmp_path, plain, SOCK_2=told("FAIL", THIS, reason="a\nb\x00c")), "--write"])

    kept = plain.replace("known_failures = []", "")
    assert written(tmp_path).startswith(kept)
    assert "\n\n# a b\\x00c\n[[known_failures]]\n" in written(tmp_path)
    assert ids(written(tmp_path)) == ["SOCK-2"]


def test_a_list_that_becomes_empty_leaves_what_stood_around_it(tmp_path: Path) -> None:
    main([*given(tmp_path, MANIFEST, SOCK_2=told("PASS"), IDN_3=told("PASS")), "--write"])

    head = MANIFEST.split("[[known_failures]]", maxsplit=1)[0]
    assert written(tmp_path) == f"{head}\n# Set by CI, and not ours.\n\n"


def test_the_loader_refuses_it_until_a_person_has_filled_it_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = 'name = "mine"\nlanguage = "Go"\ncommand = ["{python}"]\nclaims = ["service"]\n'
    main([*given(tmp_path, plain, SOCK_2=told("FAIL", THIS)), "--write"])

    assert "1 to be filled in: reason, link, expires, kind" in capsys.readouterr().out
    with pytest.raises(ManifestError, match="SOCK-2: reason is empty"):
        load(tmp_path / "mine.toml", requirements.load())


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ('name = "yours"\n', "is of 'yours', and the report of 'mine'"),
        ("name =", "mine.toml: "),
        ('name = "mine"\nknown_failures = [{id = "IDN-3"}]\n', "begins with [[known_failures]]"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], manifest: str, said: str
) -> None:
    assert main(given(tmp_path, manifest)) == 2

    assert said in capsys.readouterr().err
    (tmp_path / "report.json").unlink()
    assert main(["known-failures", str(tmp_path), str(tmp_path / "mine.toml")]) == 2
