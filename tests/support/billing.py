"""Plans, charges and moments for tests of billing."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tests.support.fake_mercadopago import ACCESS_TOKEN, WEBHOOK_SECRET, FakeMercadoPago
from tests.support.public_api import PublicApi
from tests.support.serving import Answer

#: A setting for each that billing needs, beside the address of the fake.
SETTINGS: dict[str, Any] = {"mercadopago_access_token": ACCESS_TOKEN, "mercadopago_webhook_secret": WEBHOOK_SECRET}

PLAN = {"plan_id": "basic", "name": "Basic", "price_cents": 4990, "sessions": 2}


@dataclass
class Billing:
    """The public API with billing on, and MercadoPago behind it."""

    api: PublicApi
    provider: FakeMercadoPago

    async def charged(self, token: str, plan_id: str = "basic") -> dict[str, Any]:
        """A charge, with the id of MercadoPago's payment."""
        body = {"plan_id": plan_id, "payer_email": "maria@example.com"}
        made = await self.api.call("POST", "/v1/charges", body, token=token)
        assert made.status in (200, 201), made.body
        charge: dict[str, Any] = made.json
        return charge | {"payment_id": str(self.provider.of(charge["charge_id"])["id"])}

    async def notify(self, data_id: str, topic: str = "payment", **how: bool) -> int:
        return await self.provider.notify(self.api.url, data_id, topic, **how)

    async def subscription(self, token: str) -> dict[str, Any]:
        answer = await self.api.call("GET", "/v1/subscription", token=token)
        assert answer.status == 200
        subscription: dict[str, Any] = answer.json
        return subscription

    async def change(self, tenant_id: str, **changes: Any) -> Answer:
        return await self.api.call("PATCH", f"/v1/tenants/{tenant_id}/subscription", changes)

    async def kinds(self, token: str) -> list[str]:
        """Of the tenant's notices."""
        notices = await self.api.call("GET", "/v1/notices", token=token)
        return [notice["kind"] for notice in notices.json["notices"]]

    async def execute(self, statement: str) -> None:
        async with self.api.database.begin() as connection:
            await connection.execute(sa.text(statement))

    async def sql(self, query: str) -> list[Any]:
        async with self.api.database.begin() as connection:
            return list((await connection.execute(sa.text(query))).all())

    async def look(self) -> None:
        """What the loop does every ten seconds."""
        await self.api.services.subscriptions.look()

    async def claimable(self) -> set[str]:
        """The ids of sessions that a replica would run now."""
        leases = self.api.services.leases
        claimed = await leases.claim(100)
        await leases.release([lease.session_ref for lease in claimed])
        return {lease.session_id for lease in claimed}
