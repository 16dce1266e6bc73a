"""Whether two builds gave the same bytes: the output hashes of two dvc.lock files, compared.

    python -m benchmarks.same_outputs BEFORE.lock AFTER.lock > same_outputs.json

Both have to come from the same machine with the same number of threads (OMP_NUM_THREADS): static int8 and the reference
are computed in floating point, and differ in their last bits between processors and numbers of threads. Outputs that
measure or judge (validate, host, benchmark and all after them) hold times and versions, and are not compared. The exit
code is 1 if an output differs or is missing from either file, or if there was nothing to compare.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from foundry.tracking import lock

STAGES = (
    "download", "sample", "export", "optimize", "quantize", "calibrate", "calibrate_onnx", "compress", "embed",
)  # fmt: skip


def output_hashes(path: Path) -> dict[str, str]:
    """DVC's hash of every output of the building stages in a dvc.lock, by the output's path."""
    return {
        output["path"]: output["md5"]
        for stage, entry in lock.stages(path).items()
        if stage.partition("@")[0] in STAGES
        for output in entry.get("outs", [])
    }


def compare(before: dict[str, str], after: dict[str, str]) -> dict[str, Any]:
    """What is the same, what differs and what only one of both has, by the output's path."""
    both = sorted(before.keys() & after.keys())
    return {
        "same": [path for path in both if before[path] == after[path]],
        "differing": {
            path: {"before": before[path], "after": after[path]} for path in both if before[path] != after[path]
        },
        "missing": {
            "before": sorted(after.keys() - before.keys()),
            "after": sorted(before.keys() - after.keys()),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    result = compare(output_hashes(arguments.before), output_hashes(arguments.after))
    print(json.dumps(result, indent=2))
    if not result["same"] or result["differing"] or any(result["missing"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
