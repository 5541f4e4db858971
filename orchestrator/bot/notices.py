"""What billing has to say, to tenants and to the operator, each once."""

from orchestrator.bot.desk import shown_price, shown_time
from orchestrator.bot.memory import Memory
from orchestrator.bot.news import show_news
from orchestrator.bot.screen import Button, Screen, rows
from orchestrator.bot.telegram import Telegram
from orchestrator.bot.texts import TEXTS, Texts, fill
from orchestrator.bot.watch import alert_screen
from orchestrator.client import Client
from orchestrator.domain.alert import Alert, AlertKind, Trouble
from orchestrator.domain.billing_notice import NoticeKind
from orchestrator.domain.language import Language
from orchestrator.wire.billing import Notice

_PAYABLE = frozenset(
    {NoticeKind.ENDS_IN_3_DAYS, NoticeKind.ENDS_TOMORROW, NoticeKind.ENDS_TODAY, NoticeKind.GRACE, NoticeKind.PAUSED}
)


async def tell(client: Client, telegram: Telegram, memory: Memory, operator_chat: int | None) -> None:
    """All that came since the last one that was told."""
    notices = await client.billing.all_notices(memory.operator.notices_after)
    muted = await client.operator.muted() if notices else frozenset()
    for notice in notices:
        chat = memory.of_tenant(notice.tenant_id)
        if chat is not None and notice.kind is not NoticeKind.PAYMENT_PROBLEM:
            await show_news(telegram, memory, chat, _for_tenant(TEXTS[chat.language], notice))
        operator = None if operator_chat is None else memory.chats.get(operator_chat)
        if operator is not None and AlertKind.PAYMENT not in muted:
            screen = _for_operator(operator.language, notice)
            if screen is not None:
                await show_news(telegram, memory, operator, screen)
        memory.operator.notices_after = notice.notice_id
        await memory.save_operator()


def _for_tenant(texts: Texts, notice: Notice) -> Screen:
    pay = Button(texts.subscription, ("subscription",)) if notice.kind in _PAYABLE else None
    return Screen(text=_sentence(texts, notice), rows=rows(pay, Button(texts.home, ("home",))), stays=True)


def _for_operator(language: Language, notice: Notice) -> Screen | None:
    if notice.kind is NoticeKind.PAID:
        trouble = Trouble(AlertKind.PAYMENT, notice.tenant_id, _amount(notice))
        return alert_screen(language, Alert(AlertKind.PAYMENT, over=False, troubles=(trouble,)), operator=True)
    if notice.kind in (NoticeKind.PAYMENT_PROBLEM, NoticeKind.CHARGED_BACK, NoticeKind.REFUNDED):
        texts = TEXTS[language]
        text = fill("<b>{tenant}</b>: ", tenant=notice.tenant_id) + _sentence(texts, notice)
        return Screen(text=text, rows=rows(Button(texts.payments, ("payments",))), stays=True)
    return None


def _sentence(texts: Texts, notice: Notice) -> str:
    def time(name: str) -> str:
        value = notice.data.get(name)
        return shown_time(texts, value) if isinstance(value, str) else "–"

    return fill(
        texts.billing_notices[notice.kind],
        until=time("active_until"),
        grace=time("grace_until"),
        amount=_amount(notice),
        problem=notice.data.get("problem") or "",
    )


def _amount(notice: Notice) -> str:
    cents = notice.data.get("amount_cents")
    return shown_price(cents if isinstance(cents, int) else 0)
