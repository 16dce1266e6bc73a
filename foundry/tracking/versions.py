"""What DVC's cache or remote holds of a git revision: benchmarks and verdicts of a model, or one file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.benchmarking import speeds
from foundry.reporting.differences import Side


def read_text(path: str, revision: str) -> str:
    """The text of an output of a git revision, out of DVC's cache or remote.

    Raises:
        FoundryError: when it cannot be had.
    """
    import dvc.api
    from dvc.exceptions import DvcException

    try:
        return str(dvc.api.read(path, rev=revision, encoding="utf-8"))
    except (DvcException, OSError) as error:
        raise FoundryError(
            f"{path} of {revision} cannot be had: {error}. Is it a revision, and has `dvc push` been run there?"
        ) from error


def read_revision(model: str, revision: str, host: str | None, variants: list[str]) -> Side:
    """The benchmark and the verdicts of a git revision.

    Raises:
        FoundryError: when there is no such revision, or its outputs cannot be had.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        system = DVCFileSystem(".", rev=revision)
        hosts = _json_files(system, f"artifacts/benchmarks/{model}")
        validations = _json_files(system, f"artifacts/validation/{model}")
    except (DvcException, SCMError, OSError) as error:
        raise FoundryError(f"revision {revision}: {error}. Are its outputs pushed, and pulled here?") from error
    return _side(revision, hosts, validations, host, variants)


def read_host(model: str, host: str, variants: list[str]) -> Side:
    """The benchmark of a machine in the workspace, and the verdicts there."""
    hosts = _json_files(None, f"artifacts/benchmarks/{model}")
    return _side(host, hosts, _json_files(None, f"artifacts/validation/{model}"), host, variants)


def _json_files(system: Any, folder: str) -> dict[str, Any]:
    """Every JSON file of a folder by its name, from a revision or (without one) the workspace."""
    if system is None:
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))}
    if not system.isdir(folder):
        return {}
    paths = sorted(str(path) for path in system.ls(folder, detail=False))
    return {Path(path).stem: json.loads(system.read_text(path)) for path in paths if path.endswith(".json")}


def _side(
    name: str, hosts: Mapping[str, Any], validations: Mapping[str, Any], host: str | None, variants: list[str]
) -> Side:
    if host is not None and host not in hosts:
        raise FoundryError(f"{name}: no benchmark of host {host}; there are {', '.join(hosts) or 'none'}")
    if host is None and len(hosts) > 1:
        raise FoundryError(f"{name}: benchmarks of {len(hosts)} hosts; name one with --host: {', '.join(hosts)}")
    benchmark = hosts[host] if host else next(iter(hosts.values()), None)
    if benchmark is not None and benchmark.get("format") != speeds.FORMAT:
        raise FoundryError(f"{name}: its benchmark was written by an earlier version, in another shape")
    # In the order of params.yaml; what an earlier revision had comes last.
    names = [variant for variant in variants if variant in validations]
    names += [variant for variant in validations if variant not in variants]
    return {"name": name, "benchmark": benchmark, "validations": {variant: validations[variant] for variant in names}}
