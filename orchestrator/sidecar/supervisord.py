"""supervisord's XML-RPC over its unix socket: the only way in which the orchestrator restarts a process."""

import xmlrpc.client
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import aiohttp

from orchestrator.domain.errors import ProcessNotFound, Unavailable
from orchestrator.domain.host import Process

#: supervisord's name for the process that this runs in.
ORCHESTRATOR = "orchestrator"

_BAD_NAME = 10  # supervisor.xmlrpc.Faults
_NOT_RUNNING = 70
#: Seconds for an answer; a stop waits for the process.
_CALL_SECONDS = 40.0


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

    async def processes(self) -> list[Process]:
        """All of this tree."""
        try:
            told = await self._call("supervisor.getAllProcessInfo")
        except xmlrpc.client.Fault as fault:  # it is shutting down
            raise Unavailable(f"supervisord does not say what runs: {fault.faultString}") from fault
        return [
            Process(
                name=one["name"],
                state=one["statename"],
                started_at=datetime.fromtimestamp(one["start"], UTC) if one["start"] else None,
                detail=one["description"] or one["spawnerr"],
            )
            for one in told
        ]

    async def restart_known(self, program: str) -> None:
        """As ``restart``, for a name that came from outside; ``ProcessNotFound``."""
        if program not in {process.name for process in await self.processes()}:
            raise ProcessNotFound
        if program == ORCHESTRATOR:  # nobody would be left to start it: it ends, and supervisord starts it again
            await self._call("supervisor.signalProcess", program, "TERM")
        else:
            await self.restart(program)

    async def log_tail(self, program: str, most_bytes: int) -> str:
        """The end of what the program wrote lately; ``ProcessNotFound``."""
        try:
            return str(await self._call("recent_output.tail", program, most_bytes))
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _BAD_NAME:
                raise ProcessNotFound from fault
            raise Unavailable(f"supervisord has no output of {program}: {fault.faultString}") from fault

    async def _call(self, method: str, *parameters: Any) -> Any:
        body = xmlrpc.client.dumps(parameters, method)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(str(self._socket)),
                    timeout=aiohttp.ClientTimeout(total=_CALL_SECONDS),
                ) as http,
                http.post("http://supervisord/RPC2", data=body, headers=self._headers) as response,
            ):
                answer = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("supervisord is out of reach.") from error
        try:
            return xmlrpc.client.loads(answer)[0][0]
        except ExpatError as error:
            raise Unavailable("supervisord gave an answer that makes no sense.") from error
