"""The start of the process: it takes seconds of a core to load aiogram, which sessions that open need more at that moment."""

import os
import time

from orchestrator.config import BotProcessSettings, Settings

_LOOK_SECONDS = 0.2


def run(settings: Settings, process: BotProcessSettings, parent: int) -> int:
    """Wait for the orchestrator to listen, then be a bot; 0 when the parent is gone before."""
    while not process.api_socket.exists():
        if os.getppid() != parent:
            return 0
        time.sleep(_LOOK_SECONDS)
    from orchestrator.bot import process as bot  # noqa: PLC0415 (see above)

    return bot.run(settings, process, parent)
