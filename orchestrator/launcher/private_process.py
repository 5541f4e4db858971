"""Keeps what a process of ours was given from the other processes of its user."""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def make_private() -> None:
    """Have the kernel show this process's environment, memory and files to root alone, from now until it ends or executes.

    The sidecar talks to WhatsApp for us, runs as the same user, and needs neither the database's address nor the keys that
    are in our environment. See prctl(2), PR_SET_DUMPABLE; other systems than Linux have nothing like it, and no container
    of ours runs there.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
