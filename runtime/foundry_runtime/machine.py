"""What of this machine decides which file runs well on it, and how: instruction sets, precisions, cores."""

import math
import os
import platform
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ARM = ("arm64", "aarch64")
# With these, products of int8 are added exactly. An x86 processor without them adds pairs in 16 bits, which saturates.
EXACT_INT8 = {"avx_vnni", "avx512_vnni", "amx_int8"}
# By the name of a precision, what a processor has that computes in it.
PRECISION_FLAGS = {"bf16": {"amx_bf16", "avx512_bf16", "bf16"}, "f16": {"amx_fp16", "avx512_fp16", "asimdhp"}}


def architecture() -> str:
    """Such as `x86_64` or `arm64`."""
    return platform.machine()


@cache
def instruction_sets() -> frozenset[str]:
    """The flags of the processor as Linux names them; empty on systems that do not say."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return frozenset(found[1].split()) if found else frozenset()


def family(machine: str, flags: Iterable[str]) -> str | None:
    """How a processor adds products of int8: `vnni` (exactly) or `avx2` (in 16 bits); None where nothing says so.

    The names are those of `processors` in foundry.json.
    """
    flags = set(flags)
    if machine in ARM or EXACT_INT8 & flags:
        return "vnni"
    return "avx2" if "avx2" in flags else None


def computes_in(precision: str) -> bool:
    """Whether this processor has instructions for a precision: `f32`, `bf16` or `f16`."""
    return precision == "f32" or bool(PRECISION_FLAGS.get(precision, set()) & instruction_sets())


def multiplies_bf16_tiles() -> bool:
    """Whether this processor has AMX for bf16."""
    return "amx_bf16" in instruction_sets()


def has_avx512() -> bool:
    """Whether this processor has AVX-512."""
    return "avx512f" in instruction_sets()


def threads() -> int:
    """How many threads compute best: one for each core that this process may use, or fewer by its container's quota.

    Two threads of one core share what computes, so that the second takes more than it gives.
    """
    count = _cores() or os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        allowed, _, period = quota.read_text().strip().partition(" ")
        if allowed != "max" and period:
            count = min(count, math.ceil(int(allowed) / int(period)))
    return max(count, 1)


def _cores() -> int:
    """The cores, each counted once, on which this process may run; 0 where the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return 0
    allowed = os.sched_getaffinity(0)
    path = Path("/proc/cpuinfo")
    cores = set()
    for block in path.read_text().split("\n\n") if path.exists() else ():
        facts = dict(re.findall(r"^(processor|physical id|core id)\s*:\s*(\d+)$", block, re.MULTILINE))
        if len(facts) == 3 and int(facts["processor"]) in allowed:
            cores.add((facts["physical id"], facts["core id"]))
    return len(cores) or len(allowed)
