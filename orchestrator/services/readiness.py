"""Is the service able to work? Asked by the host before it sends traffic, and by people."""

import time
from collections.abc import Callable

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.services.supervision import Supervision
from orchestrator.store.database import Database

_CACHE_SECONDS = 1.0


class Readiness:
    def __init__(
        self, database: Database, supervision: Supervision, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._supervision = supervision
        self._clock = clock
        self._answer = (-_CACHE_SECONDS, False)
        self.started = False
        """True once the database was reached and has this version's schema."""

    def require_started(self) -> None:
        """Raise ``DatabaseUnavailable`` as long as the first contact with the database is outstanding."""
        if not self.started:
            raise DatabaseUnavailable("The database has not been reached since the start; it is tried again and again.")

    async def parts(self) -> dict[str, bool]:
        return {"database": await self._database_answers(), "sidecar": self._supervision.sidecar_reachable}

    async def _database_answers(self) -> bool:
        """Asked at most once a second: anybody may call this, and the database has better things to do."""
        if not self.started:
            return False
        asked_at, answers = self._answer
        if self._clock() - asked_at >= _CACHE_SECONDS:
            try:
                await self._database.ping()
                answers = True
            except DatabaseUnavailable:
                answers = False
            self._answer = (self._clock(), answers)
        return answers
