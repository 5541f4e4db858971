"""Puts a pipe between the tree and an stdout that can't be opened again.

supervisord opens `/dev/fd/1` once for each program. Of a regular file that gives each its own position, so they overwrite one
another; of a socket, or of a terminal or pipe that another account made, it fails.
"""

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from typing import Final

_DRAIN_SECONDS: Final = 5.0


def needs_relay(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISSOCK(mode):
        return True
    try:
        os.close(os.open(f"/dev/fd/{descriptor}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return True
    return False


@contextlib.contextmanager
def relayed_output() -> Iterator[None]:
    """Inside, stdout and stderr of this process are fit for supervisord. At the end, everything written has arrived."""
    if not needs_relay(1):
        yield
        return
    cat = shutil.which("cat") or "/bin/cat"
    # A session of its own: Ctrl-C must not end it before the last line. It ends when the last writer does, however that ends.
    relay = subprocess.Popen(
        [cat], stdin=subprocess.PIPE, stdout=1, stderr=subprocess.DEVNULL, env={}, start_new_session=True
    )
    assert relay.stdin is not None
    kept = os.dup(1), os.dup(2)
    for descriptor in kept:
        os.set_inheritable(descriptor, False)
    os.dup2(relay.stdin.fileno(), 1)
    os.dup2(relay.stdin.fileno(), 2)
    relay.stdin.close()
    try:
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        try:
            relay.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            relay.kill()
            relay.wait()
