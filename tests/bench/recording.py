"""The recorded workload: made once by Baileys itself, then kept in data/bench."""

import json
import subprocess
import sys
from pathlib import Path

from tests.bench.stores import NODE_BENCH, PROJECT

FOLDER = PROJECT / "data" / "bench"
MESSAGES = 3000


def workload(messages: int = MESSAGES) -> Path:
    """The file with what so many messages write; see record-workload.js, whose change makes it anew."""
    recorder = NODE_BENCH / "record-workload.js"
    file = FOLDER / ("workload.json" if messages == MESSAGES else f"workload-{messages}.json")
    if not file.exists() or file.stat().st_mtime < recorder.stat().st_mtime:
        sys.stderr.write(f"Recording what {messages} messages write ...\n")
        FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".new")
        subprocess.run(["node", str(recorder), str(unfinished), str(messages)], check=True)
        unfinished.rename(file)
    return file


def payload_bytes_per_message(file: Path) -> float:
    """Of the keys' values, as JSON without spaces."""
    messages = json.loads(file.read_text())["messages"]
    values = [
        value
        for message in messages
        for written in message["sets"]
        for of_type in written.values()
        for value in of_type.values()
        if value is not None
    ]
    return sum(len(json.dumps(value, separators=(",", ":"))) for value in values) / len(messages)
