"""outdated: what has moved on is named, pinned to its present commit on request, and gives its own exit code."""

import importlib.metadata
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer

from foundry.base.errors import FoundryError
from foundry.commands import outdated
from foundry.params import pins, reading, toolchain
from tests.support.hub_server import Hub
from tests.support.projects import ROOT


def pinned(repo: str, revision: str) -> Callable[[dict[str, Any]], Any]:
    return lambda raw: raw["models"]["tiny"].update(source={"hub": repo, "revision": revision})


def test_every_source_on_the_hub_is_found(project: Callable[..., Path]) -> None:
    raw = {
        "models": {"a": {"source": {"hub": "o/a", "revision": "1"}}, "b": {"source": {"path": "x"}}},
        "sample": {"sources": {"c": {"hub": "o/c", "revision": "2", "column": "text"}}},
    }
    assert [tuple(source) for source in pins.pinned_sources(raw)] == [
        ("models.a.source", "o/a", "model", "1", False),
        ("sample.sources.c", "o/c", "dataset", "2", False),
    ]


def test_whose_code_runs_is_known_wherever_it_stands() -> None:
    def source(name: str) -> dict[str, str]:
        return {"hub": f"o/{name}", "revision": "1"}

    raw = {
        "models": {
            "trusted": {"source": source("a"), "base": source("b"), "trust_remote_code": True},
            "elsewhere": {"source": source("c"), "base": source("d"), "code_revision": "2"},
            "plain": {"source": source("e"), "base": source("f"), "trust_remote_code": False, "code_revision": None},
            "own data": {"source": {"path": "x"}, "overrides": {"sample": {"sources": {"g": source("g")}}}},
        },
        "sample": {"sources": {"h": source("h"), "i": {**source("i"), "trust_remote_code": True}}},
    }
    rows = list(pins.pinned_sources(raw))
    assert {row.repo[-1] for row in rows if row.runs_code} == {*"abcdi"}
    assert {row.repo[-1] for row in rows if row.kind == "model"} == {*"abcdef"}
    assert {row.repo[-1] for row in rows} == {*"abcdefghi"}


REVISIONS = """
models:
  trusted: {source: {hub: org/tiny, revision: OLD}, trust_remote_code: true}  # OLD is read
  plain:
    source:
      hub: org/tiny
      revision: 'OLD'   # OLD
    code_revision:
  quoted: {source: {revision: "OLD", hub: org/tiny}, base: {hub: org/base, revision: OLD}}
"""


def test_a_commit_is_written_where_it_belongs_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(REVISIONS)
    sources = {source.where: source for source in pins.pinned_sources(reading.read_yaml(path))}
    moved = {sources[f"models.{name}"]: "NEW" for name in ("plain.source", "quoted.source", "quoted.base")}
    pins.pin(path, moved)
    assert path.read_text() == (
        REVISIONS.replace("'OLD'", "'NEW'").replace('"OLD"', '"NEW"').replace("revision: OLD}}", "revision: NEW}}")
    )


@pytest.mark.parametrize(
    "text",
    [
        "models: {a: {source: {hub: o/a, revision: &old OLD}}, b: {source: {hub: o/a, revision: *old}}}\n",
        "models: {a: {source: &old {hub: o/a, revision: OLD}}, b: {source: *old}}\n",
        "models: {a: {source: &old {hub: o/a, revision: OLD}}, b: {source: {<<: *old, hub: o/b}}}\n",
    ],
)
def test_a_commit_that_another_source_shares_is_not_changed_for_both(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    for source in pins.pinned_sources(reading.read_yaml(path)):
        with pytest.raises(FoundryError, match="written in a way that cannot be edited") as error:
            pins.pin(path, {source: "NEW"})
        assert f"{source.where}.revision" in str(error.value)
    assert path.read_text() == text


def test_a_branch_that_moved(
    project: Callable[..., Path], server: Hub, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    before = server.repos["org/tiny"].refs["main"]
    root = project(pinned("org/tiny", before))
    outdated.main(toolchain=False)
    assert "1 sources on the Hub: as pinned" in capsys.readouterr().out
    after = server.push("org/tiny", {"config.json": b"{}"})
    text = f"# a comment\n{(root / 'params.yaml').read_text()}"
    (root / "params.yaml").write_text(text)
    for write in (False, True):
        assert (root / "params.yaml").read_text() == text
        with pytest.raises(typer.Exit) as moved:
            outdated.main(write=write, toolchain=False)
        assert moved.value.exit_code == outdated.MOVED
        output = capsys.readouterr().out
        assert "models.tiny.source (org/tiny)" in output
        assert after in output
    assert (root / "params.yaml").read_text() == text.replace(before, after)
    assert reading.read().models["tiny"].source.revision == after  # type: ignore[union-attr]
    outdated.main(toolchain=False)


@pytest.mark.parametrize("reason", [{"trust_remote_code": True}, {"code_revision": "1" * 40}])
def test_code_that_nobody_read_is_reported_and_not_pinned(
    project: Callable[..., Path], server: Hub, capsys: pytest.CaptureFixture[str], reason: dict[str, Any]
) -> None:
    before = server.repos["org/tiny"].refs["main"]

    def add(raw: dict[str, Any]) -> None:
        source = {"hub": "org/tiny", "revision": before}
        trusted = {"source": source, "base": dict(source), **reason}
        raw["models"] = {"trusted": trusted, "plain": {"source": dict(source)}}

    root = project(add)
    after = server.push("org/tiny", {"modeling.py": b"import os"})
    with pytest.raises(typer.Exit) as moved:
        outdated.main(write=True, toolchain=False)
    assert moved.value.exit_code == outdated.MOVED
    models = reading.read().models
    assert models["plain"].source.revision == after  # type: ignore[union-attr]
    assert models["trusted"].source.revision == models["trusted"].base.revision == before  # type: ignore[union-attr]
    output = capsys.readouterr().out
    for where in ("source", "base"):
        assert f"models.trusted.{where}: not pinned anew, because Python files of org/tiny run here" in output
    assert "1 sources pinned" in output
    # Where there is nothing else, params.yaml is not touched.
    project(lambda raw: (add(raw), raw["models"].pop("plain")))
    text = (root / "params.yaml").read_text()
    with pytest.raises(typer.Exit):
        outdated.main(write=True, toolchain=False)
    assert (root / "params.yaml").read_text() == text


def test_a_source_that_cannot_be_asked_for(project: Callable[..., Path], server: Hub) -> None:
    project(pinned("org/gone", "0" * 40))
    with pytest.raises(FoundryError, match="org/gone is not there, or this token may not see it"):
        outdated.main(toolchain=False)


def test_the_toolchain(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(*rows: tuple[str, str, str]) -> None:
        listing = [{"name": name, "version": version, "latest_version": latest} for name, version, latest in rows]
        done = subprocess.CompletedProcess([], 0, stdout=json.dumps(listing), stderr="")
        monkeypatch.setattr(toolchain.subprocess, "run", lambda *arguments, **options: done)

    def asks_for(*lines: str) -> None:
        monkeypatch.setattr(toolchain.importlib.metadata, "requires", lambda name: lines)

    project()
    installed = importlib.metadata.version("transformers")
    monkeypatch.setattr(toolchain, "advisories", list)
    asks_for("transformers<9,>=4.57.6", 'pytest>=9; extra == "dev"')
    listed(("transformers", installed, "9.1"), ("no-dependency-of-ours", "1", "2"))
    outdated.main()
    listing = capsys.readouterr().out
    assert "beyond the range" in listing
    assert "no-dependency-of-ours" not in listing
    listed(("transformers", installed, f"{installed}.post1"))
    with pytest.raises(typer.Exit):
        outdated.main()
    assert f"{installed}.post1" in capsys.readouterr().out


@pytest.fixture
def osv(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """A service in the form of OSV that pip-audit asks: advisories by package."""
    known: dict[str, list[dict[str, Any]]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": found} if (found := known.get(asked["package"]["name"])) else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/v1/query")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield known
    server.shutdown()
    server.server_close()


def vulnerability(package: str, id: str, fixed_in: str, *aliases: str) -> dict[str, Any]:
    events = [{"introduced": "0"}, *({"fixed": version} for version in fixed_in.split())]
    affected = {"package": {"name": package, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {"id": id, "aliases": [*aliases], "summary": "it runs code", "affected": [affected]}


def test_advisories_are_named_with_what_fixes_them(
    project: Callable[..., Path], osv: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    project()
    monkeypatch.setattr(toolchain, "newer_packages", list)
    assert toolchain.advisories() == []
    outdated.main()
    assert ": as pinned" in capsys.readouterr().out

    version = importlib.metadata.version("torch").partition("+")[0]
    osv["torch"] = [
        vulnerability("torch", "GHSA-1", f"{version}.post1", "CVE-2026-1"),
        vulnerability("torch", "PYSEC-2", f"{version}.post2 99.0"),  # also in a line of versions beyond the range
    ]
    osv["typer"] = [vulnerability("typer", "GHSA-3", "")]
    osv["dvc"] = [vulnerability("dvc", "GHSA-4", "99.0", "CVE-2026-4")]
    found = {row.name: row for row in toolchain.advisories()}
    assert {name: (row.ids, row.is_fixable) for name, row in found.items()} == {
        "torch": (("CVE-2026-1", "PYSEC-2"), True),
        "typer": (("GHSA-3",), False),
        "dvc": (("CVE-2026-4",), False),
    }
    with pytest.raises(typer.Exit) as moved:
        outdated.main()
    assert moved.value.exit_code == outdated.MOVED
    output = capsys.readouterr().out
    assert f"CVE-2026-1, PYSEC-2; fixed in {version}.post1, {version}.post2, 99.0" in output
    assert "GHSA-3; fixed in none yet" in output
    assert "fixed by no version within the range" in output
    # What cannot be mended within the ranges is named, and is no reason to build anew.
    del osv["torch"]
    outdated.main()
    assert "CVE-2026-4; fixed in 99.0" in capsys.readouterr().out


def test_advisories_that_cannot_be_read_are_an_error(
    osv: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:9/v1/query")
    with pytest.raises(FoundryError, match=r"^pip-audit cannot read the advisories: "):
        toolchain.advisories()
    # A service that knows no package is no service that knows no advisory.
    skipped = {"dependencies": [{"name": "torch", "skip_reason": "not found"}], "fixes": []}
    done = subprocess.CompletedProcess([], 0, stdout=json.dumps(skipped), stderr="")
    monkeypatch.setattr(toolchain.subprocess, "run", lambda *arguments, **options: done)
    with pytest.raises(FoundryError, match=r"^no advisories can be read of torch"):
        toolchain.advisories()


def test_the_exit_codes(project: Callable[..., Path]) -> None:
    root = project(lambda raw: raw.update(nonsense=1))
    command = [sys.executable, "-m", "foundry", "outdated", "--no-toolchain"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nonsense" in done.stderr
