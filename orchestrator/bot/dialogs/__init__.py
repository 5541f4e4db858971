"""What buttons and typed texts lead to, by name. Everybody has the first; the operator has the others too."""

from collections.abc import Awaitable, Callable, Mapping

from orchestrator.bot.dialogs import billing, broadcast, menu, operator, pairing, payments, sessions, tenants
from orchestrator.bot.screen import Screen

#: Takes the desk and the action's arguments; None: it has shown what there is to show.
Dialog = Callable[..., Awaitable[Screen | None]]

ANYBODY: Mapping[str, Dialog] = {
    "home": menu.home,
    "help": menu.help_,
    "web": menu.web,
    "languages": menu.languages,
    "language": menu.choose_language,
    "session": sessions.show,
    "start": sessions.start,
    "stop": sessions.stop,
    "restart": sessions.restart,
    "log-out?": sessions.ask_log_out,
    "log-out": sessions.log_out,
    "pairings": sessions.pairings,
    "restore?": sessions.ask_restore,
    "restore": sessions.restore,
    "events": sessions.events,
    "qr": pairing.show_qr,
    "code": pairing.ask_phone,
    "phone": pairing.phone_typed,
    "link": pairing.make_link,
    "link-again": pairing.choose,
    "stop-linking": pairing.stop_linking,
}

TENANT: Mapping[str, Dialog] = {
    **ANYBODY,
    "connect": pairing.connect,
    "token?": menu.offer_token,
    "token": menu.make_token,
    "subscription": billing.show,
    "pay": billing.pay,
    "pay-always": billing.pay_always,
    "pay-never": billing.pay_never,
    "invoices": billing.invoices,
}

OPERATOR: Mapping[str, Dialog] = {
    **ANYBODY,
    "home": operator.home,
    "sessions": operator.list_sessions,
    "search?": operator.ask_search,
    "search": operator.search,
    "export?": sessions.ask_export,
    "export": sessions.export,
    "tenants": tenants.listed,
    "tenant": tenants.show,
    "tenant-new?": tenants.ask_name,
    "tenant-new": tenants.create,
    "tenant-token": tenants.make_token,
    "block?": tenants.ask_block,
    "block": tenants.block,
    "unblock": tenants.unblock,
    "extend": tenants.extend,
    "plan?": tenants.ask_plan,
    "plan": tenants.choose_plan,
    "processes": operator.list_processes,
    "process": operator.show_process,
    "process-restart?": operator.ask_restart,
    "process-restart": operator.restart,
    "log": operator.log_tail,
    "payments": payments.listed,
    "reconcile": payments.reconcile,
    "revenue": payments.revenue,
    "alerts": operator.list_alerts,
    "mute": operator.mute,
    "broadcast?": broadcast.ask,
    "broadcast": broadcast.typed,
    "broadcast-go": broadcast.begin,
}
