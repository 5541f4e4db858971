"""A clock that jumps, for all processes of one replica: a library between them and libc adds what a file says."""

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("jumping_clock.c")


@dataclass(frozen=True)
class Clock:
    """The file with the nanoseconds by which the clock is ahead."""

    file: Path

    def __post_init__(self) -> None:
        self.set(0.0)

    def set(self, seconds: float) -> None:
        if not self.file.exists():
            self.file.write_bytes(bytes(8))
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", int(seconds * 1e9)))

    def environ(self, shim: Path) -> dict[str, str]:
        return {"LD_PRELOAD": str(shim), "JUMPING_CLOCK": str(self.file)}


def clock_shim(folder: Path) -> Path | None:
    """The library, built; None where there is no C compiler, and then no clock jumps."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    shim = folder / "jumping_clock.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", shim, _SOURCE, "-ldl"], check=True)
    return shim
