"""Build the default models twice from cold and compare the hash of every model file.

python benchmarks/reproducibility.py
"""

import json
import sys
import tempfile
from pathlib import Path

from build_cost import BUILDING, clock, clone

from foundry.base import files


def hashes(root: Path) -> dict[str, str]:
    folder = root / "artifacts/models"
    return {path.as_posix(): files.sha256(folder / path) for path in files.files_below(folder)}


def main() -> None:
    built = []
    for turn in (1, 2):
        with tempfile.TemporaryDirectory() as scratch:
            root = clone(Path(scratch) / "project")
            clock(["dvc", "repro", *BUILDING], root)
            built.append(hashes(root))
        print(f"built {turn} of 2: {len(built[-1])} files", file=sys.stderr)
    names = sorted(built[0].keys() | built[1].keys())
    differing = [name for name in names if built[0].get(name) != built[1].get(name)]
    print(json.dumps({"files": len(names), "differing": differing}, indent=2))
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
