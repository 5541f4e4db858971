"""The loopback proxy (baileys-server/test/support/proxy.js) as a child process: SOCKS5 and CONNECT on one port."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import Child, running

MAIN = Path(__file__).resolve().parents[2] / "baileys-server" / "test" / "support" / "proxy-main.js"


@dataclass
class Proxy:
    child: Child
    port: int

    def url(self, scheme: str, credentials: str | None = None) -> str:
        return f"{scheme}://{credentials + '@' if credentials else ''}127.0.0.1:{self.port}"

    @property
    def tunnels(self) -> list[str]:
        """Where it was asked to connect to."""
        return [line["tunnel"] for line in self._lines() if "tunnel" in line]

    @property
    def refused(self) -> int:
        """Callers without the right credentials."""
        return sum("refused" in line for line in self._lines())

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.child.output.splitlines(keepends=True) if line.endswith("\n")]


@contextlib.contextmanager
def proxy(user: str, password: str) -> Iterator[Proxy]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="proxy"))
        child = stack.enter_context(running(["node", str(MAIN), user, password], Path(folder) / "log"))
        child.wait_for_output('"port"')
        yield Proxy(child, json.loads(child.output.splitlines()[0])["port"])
