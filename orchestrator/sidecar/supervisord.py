"""supervisord's XML-RPC over its unix socket: the only way in which the orchestrator restarts a process."""

import xmlrpc.client
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import aiohttp

from orchestrator.domain.errors import Unavailable

_NOT_RUNNING = 70  # supervisor.xmlrpc.Faults.NOT_RUNNING


class SupervisordClient:
    def __init__(self, socket: Path, username: str, password: str) -> None:
        self._socket = socket
        self._headers = {"Authorization": aiohttp.encode_basic_auth(username, password), "Content-Type": "text/xml"}

    async def restart(self, program: str) -> None:
        """Stop the program in its orderly way and start it; ``Unavailable`` if supervisord can't be asked."""
        try:
            await self._call("supervisor.stopProcess", program, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise Unavailable(f"supervisord did not stop {program}: {fault.faultString}") from fault
        try:
            await self._call("supervisor.startProcess", program, False)
        except xmlrpc.client.Fault as fault:
            raise Unavailable(f"supervisord did not start {program}: {fault.faultString}") from fault

    async def _call(self, method: str, *parameters: Any) -> Any:
        body = xmlrpc.client.dumps(parameters, method)
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._socket))) as http,
                http.post("http://supervisord/RPC2", data=body, headers=self._headers) as response,
            ):
                answer = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("supervisord is out of reach.") from error
        try:
            return xmlrpc.client.loads(answer)[0]
        except ExpatError as error:
            raise Unavailable("supervisord gave an answer that makes no sense.") from error
