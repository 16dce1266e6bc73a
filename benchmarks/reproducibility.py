"""Whether two builds of the default models from cold give the same bytes: the hash of every model file, compared.

python -m benchmarks.reproducibility > reproducibility.json
"""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import projects
from foundry.base import files


def hashes(root: Path) -> dict[str, str]:
    """The SHA-256 of every model file of a project, by its path."""
    folder = root / "artifacts/models"
    return {path.as_posix(): files.sha256(folder / path) for path in files.files_below(folder)}


def main() -> None:
    builds = []
    for number in (1, 2):
        with tempfile.TemporaryDirectory() as scratch:
            root = projects.copy_working_tree(Path(scratch) / "project")
            projects.reproduce(root, projects.BUILDING)
            builds.append(hashes(root))
        print(f"build {number} of 2: {len(builds[-1])} files", file=sys.stderr)
    names = sorted(builds[0].keys() | builds[1].keys())
    differing = [name for name in names if builds[0].get(name) != builds[1].get(name)]
    print(json.dumps({"files": len(names), "differing": differing}, indent=2))
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
