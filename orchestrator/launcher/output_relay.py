"""Puts a pipe between the tree and its stdout, whatever that is and whatever becomes of it.

supervisord opens `/dev/fd/1` once for each program. Of a regular file that gives each its own position, so they overwrite one
another; of a socket, or of a terminal or pipe that another account made, it fails. And when the reader goes away (`| head`, a
closed terminal), supervisord fails at its next line and leaves all programs behind.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import Final

# The first `cat` ends when nobody reads its output any more; the second drops the rest, so that no writer ever fails.
_RELAY: Final = ["/bin/sh", "-c", "cat; exec cat > /dev/null"]
_DRAIN_SECONDS: Final = 5.0


@contextlib.contextmanager
def relayed_output() -> Iterator[None]:
    """Inside, stdout and stderr of this process go through the relay. At the end, everything written has arrived."""
    # A session of its own: neither Ctrl-C nor a closed terminal ends it before the last line. It ends with its last writer,
    # however that ends.
    relay = subprocess.Popen(
        _RELAY,
        stdin=subprocess.PIPE,
        stdout=1,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath},
        start_new_session=True,
    )
    assert relay.stdin is not None
    kept = os.dup(1), os.dup(2)
    os.dup2(relay.stdin.fileno(), 1)
    os.dup2(relay.stdin.fileno(), 2)
    relay.stdin.close()
    try:
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in kept:
            os.close(descriptor)
        try:
            relay.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(relay.pid, 9)
            relay.wait()
