"""The processes of the replica that answers, over HTTP, for the operator."""

from aiohttp import web

from orchestrator.api.bodies import json_response, read_json, read_query
from orchestrator.api.keys import SERVICES
from orchestrator.api.operations import Operation
from orchestrator.domain.errors import ProcessNotFound, Unavailable
from orchestrator.domain.tenant import Scope
from orchestrator.services.events import timestamp
from orchestrator.wire import overview as wire
from orchestrator.wire.shape import NoFields


async def index(request: web.Request) -> web.Response:
    processes = [
        wire.Process(
            process=one.name,
            state=one.state,
            started_at=timestamp(one.started_at) if one.started_at else None,
            detail=one.detail,
        )
        for one in await request.app[SERVICES].supervisord.processes()
    ]
    return json_response(wire.Processes(processes=processes))


async def restart(request: web.Request) -> web.Response:
    await read_json(request, NoFields)
    await request.app[SERVICES].supervisord.restart_known(request.match_info["process"])
    return web.Response(status=204)


async def log_tail(request: web.Request) -> web.Response:
    query = read_query(request, wire.LogTail)
    process = request.match_info["process"]
    log = await request.app[SERVICES].supervisord.log_tail(process, query.bytes)
    return json_response(wire.Log(process=process, log=log))


_TAG = "Operator"
_PROCESS = wire.Process(
    process="baileys", state="RUNNING", started_at="2026-11-26T12:00:01.000Z", detail="pid 31, uptime 13:02:00"
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/processes",
        handler=index,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="List the processes of the replica that answers.",
        gives=wire.Processes,
        errors=(Unavailable,),
        example_answer=wire.Processes(processes=[_PROCESS]),
    ),
    Operation(
        method="POST",
        path="/v1/processes/{process}/restart",
        handler=restart,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Stop a process in its orderly way and start it again.",
        details="The orchestrator can't answer for its own restart: the connection ends, and it is back within seconds.",
        takes=NoFields,
        status=204,
        errors=(ProcessNotFound, Unavailable),
        example=NoFields(),
        audited=True,
    ),
    Operation(
        method="GET",
        path="/v1/processes/{process}/log",
        handler=log_tail,
        scope=Scope.ADMIN,
        tag=_TAG,
        summary="Show the last lines that a process wrote.",
        query=wire.LogTail,
        gives=wire.Log,
        errors=(ProcessNotFound, Unavailable),
        example_answer=wire.Log(process="baileys", log='{"level":"info","event":"listening"}\n'),
    ),
)
