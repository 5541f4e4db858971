"""`python -m orchestrator COMMAND`."""

import sys

from orchestrator.launcher.private_process import make_private

make_private()  # before the rest is imported, which takes a second

from orchestrator.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
