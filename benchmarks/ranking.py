"""Whether two benchmarks of the same machine rank the variants alike, apart from differences within the noise.

    python -m benchmarks.ranking first.json second.json > ranking.json

The files are copies of `artifacts/benchmarks/<model>/<host>.json` from two runs. Every pair of variants is compared on
every length of texts, one text at a time and in batches: it is `told_apart` if a run's interval excludes 1 and the
speeds differ by 3% or more, and `contradicted` if both runs tell it apart and in opposite order.
"""

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

from foundry.benchmarking import speeds
from foundry.benchmarking.timings import same_speed


def order(benchmark: speeds.Benchmark, left: str, right: str, group: str, size: str | None) -> int:
    """1 if variant `left` is faster than `right`, -1 if it is slower, 0 if the benchmark does not tell them apart."""
    value = speeds.versus(benchmark, left, right, group, size)
    return 0 if value is None or same_speed(value) else 1 if value["median"] > 1 else -1


def agreement(first: speeds.Benchmark, second: speeds.Benchmark) -> dict[str, Any]:
    """How many pairs each run tells apart, how many both do, and for which pairs they contradict each other."""
    names = [name for name, record in first["variants"].items() if not record["same_bytes_as"] and not record["note"]]
    counts = {"pairs": 0, "told_apart_by_first": 0, "told_apart_by_second": 0, "told_apart_by_both": 0}
    contradicted = []
    for group in first["groups"]:
        for size in (speeds.SINGLE, None):
            for left, right in combinations(names, 2):
                before, after = (order(run, left, right, group, size) for run in (first, second))
                counts["pairs"] += 1
                counts["told_apart_by_first"] += before != 0
                counts["told_apart_by_second"] += after != 0
                counts["told_apart_by_both"] += before != 0 and after != 0
                if before * after < 0:
                    contradicted.append([left, right, group, "one by one" if size else "in batches"])
    return {**counts, "contradicted": contradicted, "rounds": [first["rounds"], second["rounds"]]}


def main() -> None:
    first, second = (json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:3])
    if first["host"] != second["host"]:
        sys.exit(f"two machines: {first['host']} and {second['host']}; `foundry compare` shows these")
    print(json.dumps(agreement(first, second), indent=2))


if __name__ == "__main__":
    main()
