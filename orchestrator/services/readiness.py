"""Is the service able to work? Asked by the host before it sends traffic, and by people."""

from orchestrator.domain.errors import DatabaseUnavailable
from orchestrator.services.supervision import Supervision
from orchestrator.store.database import Database


class Readiness:
    def __init__(self, database: Database, supervision: Supervision) -> None:
        self._database = database
        self._supervision = supervision
        self.started = False
        """True once the database was reached and has this version's schema."""

    def require_started(self) -> None:
        """Raise ``DatabaseUnavailable`` as long as the first contact with the database is outstanding."""
        if not self.started:
            raise DatabaseUnavailable("The database has not been reached since the start; it is tried again and again.")

    async def parts(self) -> dict[str, bool]:
        return {"database": await self._database_answers(), "sidecar": self._supervision.sidecar_reachable}

    async def _database_answers(self) -> bool:
        if not self.started:
            return False
        try:
            await self._database.ping()
        except DatabaseUnavailable:
            return False
        return True
