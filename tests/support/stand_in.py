"""Stands in for a program of the tree: says when it starts and when it is stopped, and ends when its parent is gone."""

import os
import signal
import sys
import time
from typing import NoReturn


def main(name: str) -> None:
    def stop(_number: int, _frame: object) -> NoReturn:
        print(f"{name} stopped", flush=True)
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    parent = os.getppid()
    print(f"{name} started", flush=True)
    while os.getppid() == parent:
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
