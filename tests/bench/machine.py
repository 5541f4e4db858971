"""The machine and the versions, in words for the report."""

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path


def described(folder: Path) -> dict[str, str]:
    """``folder`` is on the disk that is measured."""
    return {
        "machine": f"{os.cpu_count()} x {_processor()}, {_memory_gigabytes():.0f} GB of memory",
        "system": f"{platform.system()} {platform.release()}",
        "disk": f"fdatasync of 8 kB takes {_sync_microseconds(folder):.0f} microseconds (median)",
        "versions": ", ".join(
            f"{name} {_version(program, option)}"
            for name, program, option in (
                ("Node", "node", "--version"),
                ("PostgreSQL", "postgres", "--version"),
                ("Redis", "redis-server", "--version"),
            )
        )
        + f", Python {platform.python_version()}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory_gigabytes() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") / 1e9


def _version(program: str, option: str) -> str:
    if shutil.which(program) is None:
        return "(not on PATH)"
    words = (
        subprocess.run([program, option], capture_output=True, text=True, check=True).stdout.replace("v=", "").split()
    )
    return next(word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit())


def _sync_microseconds(folder: Path, times: int = 200) -> float:
    probe = folder / "sync-probe"
    file = os.open(probe, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        taken = []
        for _ in range(times):
            os.pwrite(file, os.urandom(8192), 0)
            started = time.perf_counter()
            os.fdatasync(file)
            taken.append(time.perf_counter() - started)
        return sorted(taken)[times // 2] * 1e6
    finally:
        os.close(file)
        probe.unlink()
