"""What the runtime sees of a machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from foundry_runtime import machine

# Two sockets of two cores with two threads each, as Linux lists them.
CPUINFO = "\n\n".join(
    f"processor\t: {number}\nflags\t: fpu avx2 avx512_vnni\nphysical id\t: {number // 2 % 2}\ncore id\t: {number % 2}"
    for number in range(8)
)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Files of a machine, by their path, in the place of this one's."""
    contents = {"/proc/cpuinfo": CPUINFO}
    monkeypatch.setattr(Path, "exists", lambda path: str(path) in contents)
    monkeypatch.setattr(Path, "is_file", lambda path: str(path) in contents)
    monkeypatch.setattr(Path, "read_text", lambda path: contents[str(path)])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    machine.instruction_sets.cache_clear()
    yield contents
    machine.instruction_sets.cache_clear()


def test_a_core_is_counted_once(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.threads() == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 1})
    assert machine.threads() == 2
    files["/proc/cpuinfo"] = "processor : 0\n\nprocessor : 1\n"  # which does not say
    assert machine.threads() == 3


@pytest.mark.parametrize(("quota", "count"), [("max 100000", 4), ("150000 100000", 2), ("1000 100000", 1), ("", 4)])
def test_a_containers_quota(files: dict[str, str], quota: str, count: int) -> None:
    files["/sys/fs/cgroup/cpu.max"] = quota
    assert machine.threads() == count


def test_families_and_precisions(files: dict[str, str]) -> None:
    assert machine.instruction_sets() == {"fpu", "avx2", "avx512_vnni"}
    assert machine.family("x86_64", machine.instruction_sets()) == "vnni"
    assert [machine.family("x86_64", flags) for flags in ({"avx2"}, {"avx2", "amx_int8"}, set())] == [
        "avx2", "vnni", None
    ]  # fmt: skip
    assert machine.family("aarch64", set()) == "vnni"
    assert [machine.computes_in(name) for name in ("f32", "bf16", "f16")] == [True, False, False]


def test_amx_for_bf16(files: dict[str, str]) -> None:
    assert not machine.multiplies_bf16_tiles()
    files["/proc/cpuinfo"] = "flags\t: amx_bf16 amx_tile amx_int8 avx512_bf16"
    machine.instruction_sets.cache_clear()
    assert machine.multiplies_bf16_tiles()
