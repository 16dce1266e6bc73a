"""The profile of this machine and its library versions: a benchmark holds for no other."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from foundry.base.packages import installed_version

LIBRARIES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "optimum",
    "tokenizers",
    "numpy",
)
# What may set the number of threads that a runtime uses.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# The instruction sets that decide which kernels run.
FLAGS = (
    "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16",
    "amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


def profile() -> dict[str, Any]:
    """Processor, instruction sets, cores, memory, system and library versions; the same on every call."""
    import psutil

    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": name[1].strip() if name else platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "instruction_sets": [flag for flag in FLAGS if flags and flag in flags[1].split()],
        "cores": cores,
        "physical_cores": psutil.cpu_count(logical=False),
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
        "gpus": gpus(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """The versions of the libraries that a benchmark depends on, of those that are installed."""
    return {name: version for name in LIBRARIES if (version := installed_version(name)) is not None}


def family(facts: Mapping[str, Any]) -> Literal["vnni", "avx2"] | None:
    """How the processor of a profile adds products of int8 (`foundry.int8.saturation`): exactly, with VNNI, AMX or on
    Arm; or in 16 bits, on x86 without them. None where the profile does not say."""
    flags = facts.get("instruction_sets") or ()
    if facts.get("architecture") in ("arm64", "aarch64") or {"avx_vnni", "avx512_vnni", "amx_int8"} & set(flags):
        return "vnni"
    return "avx2" if "avx2" in flags else None


def gpus() -> list[str]:
    """Name, memory and driver of each NVIDIA GPU; nothing without their driver's own tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    return _ask(tool, "name,memory.total,driver_version")


def gpu_memory_used_mb() -> float:
    """What all processes together hold of the memory of the first NVIDIA GPU; 0 without its driver's own tool."""
    tool = shutil.which("nvidia-smi")
    used = _ask(tool, "memory.used") if tool else []
    return float(used[0].split()[0]) * 2**20 / 1e6 if used else 0.0


def _ask(tool: str, facts: str) -> list[str]:
    """A line for each GPU from nvidia-smi; nothing where it fails."""
    query = [tool, f"--query-gpu={facts}", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    return listed.stdout.strip().splitlines() if listed.returncode == 0 else []


def key(facts: dict[str, Any]) -> str:
    """A readable name for the machine, with enough of a hash that another toolchain has another name."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:6]
    slug = re.sub(r"[^a-z0-9]+", "-", facts["processor"].lower()).strip("-")
    return f"{slug}-{facts['cores']}-cores-{digest}"


def named_profile() -> dict[str, Any]:
    """The profile, with the name of the machine as `host`."""
    facts = profile()
    return {"host": key(facts), **facts}
