"""The beginning: signing up, the tenant's menu, the language, the token, help."""

from datetime import date

from orchestrator.bot.desk import Desk
from orchestrator.bot.dialogs import billing, sessions
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.texts import TEXTS, fill
from orchestrator.domain.errors import TenantExists
from orchestrator.domain.language import Language
from orchestrator.wire.sessions import Session
from orchestrator.wire.tenants import CreateTenant

#: Sessions that have a button of their own in the menu.
_MOST = 10


async def home(desk: Desk) -> Screen | None:
    """The tenant's menu; who has none signs up by that. The operator's is in ``operator``."""
    first = desk.chat.tenant_id is None
    if first:
        await _sign_up(desk)
    assert desk.chat.tenant_id is not None
    tenant = await desk.client.tenants.get(desk.chat.tenant_id)
    if tenant.blocked:
        return Screen(text=desk.texts.tenant_blocked)
    subscription = await billing.subscription_of(desk, desk.chat.tenant_id)
    own = desk.of(desk.chat.tenant_id)
    found = [session async for session in own.sessions.list()]
    text = fill(desk.texts.tenant_home, sessions="{sessions}").replace("{sessions}", _listed(desk, found))
    if first:
        text = "\n\n".join(
            [fill(desk.texts.welcome, name=desk.chat.name), *billing.trial_line(desk, subscription), text]
        )
    return Screen(text=text, rows=_menu(desk, found, billing_on=subscription is not None))


def _menu(desk: Desk, found: list[Session], *, billing_on: bool) -> tuple[tuple[Button, ...], ...]:
    texts, tenant_id = desk.texts, desk.chat.tenant_id or ""
    return rows(
        Button(texts.connect_another if found else texts.connect, ("connect",)),
        *(
            (
                Button(
                    f"{sessions.mark(one.connection_state)} {one.session_id}", ("session", tenant_id, one.session_id)
                ),
                Button(texts.reconnect, ("restart", tenant_id, one.session_id)),
            )
            for one in found[:_MOST]
        ),
        Button(texts.customers, ("contacts", "", "")),
        (Button(texts.subscription, ("subscription",)), Button(texts.invoices, ("invoices",))) if billing_on else None,
        (Button(texts.status, ("home",)), Button(texts.api_token, ("token?",))),
        Button(texts.web, ("web",)),
        (Button(texts.language, ("languages",)), Button(texts.help, ("help",))),
    )


def _listed(desk: Desk, found: list[Session]) -> str:
    texts = desk.texts
    lines = [
        fill(
            texts.tenant_line,
            mark=sessions.mark(one.connection_state),
            session=one.session_id,
            state=texts.states[one.connection_state],
        )
        for one in found
    ]
    return "\n".join(lines) or texts.tenant_no_sessions


async def _sign_up(desk: Desk) -> None:
    """A tenant of the chat's own; a second time it is the same one."""
    tenant_id = f"tg-{desk.chat.chat_id}"
    try:
        await desk.client.tenants.create(CreateTenant(tenant_id=tenant_id, name=desk.chat.name or tenant_id))
    except TenantExists:
        await desk.client.tenants.get(tenant_id)  # one that was deleted is gone
    desk.chat.tenant_id = tenant_id


async def web(desk: Desk) -> Screen:
    """A link that logs a browser in with the person's rights: the operator's, or those of the chat's tenant."""
    client = desk.client if desk.operator else desk.of(desk.chat.tenant_id or "")
    made = await client.logins.make_link()
    screen = desk.says(fill(desk.texts.web_link, url=made.url))
    return Screen(text=screen.text, rows=screen.rows, fresh=True)


async def languages(desk: Desk) -> Screen:
    choices = tuple(Button(TEXTS[language].language_name, ("language", language)) for language in Language)
    return desk.says(desk.texts.choose_language, choices)


async def choose_language(desk: Desk, language: str) -> Screen:
    desk.chat.language = Language(language)
    return desk.says(desk.texts.language_chosen)


async def help_(desk: Desk) -> Screen:
    return desk.says(desk.texts.help_text)


async def offer_token(desk: Desk) -> Screen:
    return desk.says(desk.texts.token_offer, Button(desk.texts.token_make, ("token",)))


async def make_token(desk: Desk) -> Screen:
    assert desk.chat.tenant_id is not None
    name = f"Telegram, {date.today().isoformat()}"  # noqa: DTZ011 (for people)
    made = await desk.of(desk.chat.tenant_id).tokens.create(name, ["read", "send", "manage"])
    return desk.says(fill(desk.texts.token_shown, token=made.token))
