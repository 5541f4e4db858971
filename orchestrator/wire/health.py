"""Health of the process and of the service."""

from typing import Literal

from orchestrator.wire.shape import Answer


class Health(Answer, frozen=True):
    status: Literal["ok"]


class Readiness(Answer, frozen=True):
    status: Literal["ready", "not_ready"]
    database: bool
    sidecar: bool
