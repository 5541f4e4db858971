"""What reminders say: templates with variables, those that there are unless a tenant writes its own, and amounts and days in words."""

from collections.abc import Mapping
from datetime import date
from typing import Final

from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.domain.language import Language
from orchestrator.domain.reminder import Details, ReminderKind
from orchestrator.domain.template import filled, places

LONGEST_TEMPLATE: Final = 4000

VARIABLES: Final = (
    "name",
    "first_name",
    "amount",
    "due_date",
    "when",
    "days",
    "next_due_date",
    "note",
    "pix_code",
)

#: A line whose variables are all empty is left out.
DEFAULTS: Final[Mapping[Language, Mapping[ReminderKind, str]]] = {
    Language.PT_BR: {
        ReminderKind.BEFORE_DUE: "Olá, {{first_name}}! Passando para lembrar: {{amount}} vence {{when}}, {{due_date}}.\n"
        "{{note}}\nPIX copia e cola: {{pix_code}}",
        ReminderKind.DUE: "Olá, {{first_name}}! {{amount}} vence hoje, {{due_date}}.\n"
        "{{note}}\nPIX copia e cola: {{pix_code}}",
        ReminderKind.OVERDUE: "Olá, {{first_name}}! {{amount}} venceu {{when}}, {{due_date}}. "
        "Se já pagou, desconsidere esta mensagem.\n{{note}}\nPIX copia e cola: {{pix_code}}",
        ReminderKind.PAID: "Obrigado, {{first_name}}! Recebemos {{amount}}, com vencimento em {{due_date}}.\n"
        "O próximo vencimento é {{next_due_date}}.",
        ReminderKind.WELCOME: "Olá, {{first_name}}! Por aqui você recebe os lembretes dos seus pagamentos. "
        "O próximo é de {{amount}} e vence em {{due_date}}.",
    },
    Language.EN: {
        ReminderKind.BEFORE_DUE: "Hello, {{first_name}}! A reminder: {{amount}} is due {{when}}, {{due_date}}.\n"
        "{{note}}\nPIX code: {{pix_code}}",
        ReminderKind.DUE: "Hello, {{first_name}}! {{amount}} is due today, {{due_date}}.\n"
        "{{note}}\nPIX code: {{pix_code}}",
        ReminderKind.OVERDUE: "Hello, {{first_name}}! {{amount}} was due {{when}}, {{due_date}}. "
        "If you have paid already, please ignore this message.\n{{note}}\nPIX code: {{pix_code}}",
        ReminderKind.PAID: "Thank you, {{first_name}}! We received {{amount}}, which was due {{due_date}}.\n"
        "The next one is due {{next_due_date}}.",
        ReminderKind.WELCOME: "Hello, {{first_name}}! You get reminders of your payments here. "
        "The next one is {{amount}}, due {{due_date}}.",
    },
}

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def checked(template: str) -> str:
    """The template as it is kept; ``InvalidRequest``."""
    text = template.strip()
    unknown = [name for name in places(text) if name not in VARIABLES]
    problem = None
    if not text or len(text) > LONGEST_TEMPLATE:
        problem = f"must be 1 to {LONGEST_TEMPLATE} characters"
    elif unknown:
        problem = f"names {{{{{unknown[0]}}}}}, which there isn't; there are {', '.join(VARIABLES)}"
    if problem is not None:
        raise InvalidRequest(errors=[FieldError("text", problem)])
    return text


def rendered(
    template: str | None,
    kind: ReminderKind,
    language: Language,
    details: Details,
    *,
    due_date: date,
    today: date,
    next_due_date: date | None = None,
) -> str:
    """The text for a contact. ``template`` None, or one of which nothing is left: the default."""
    days = (due_date - today).days
    values = {
        "name": details.name,
        "first_name": details.name.split()[0],
        "amount": shown_amount(details.amount_cents, language),
        "due_date": shown_date(due_date, language),
        "when": shown_distance(days, language),
        "days": str(abs(days)),
        "next_due_date": "" if next_due_date is None else shown_date(next_due_date, language),
        "note": details.note,
        "pix_code": details.pix_code or "",
    }
    text = "" if template is None else _filled(template, values)
    return text or _filled(DEFAULTS[language][kind], values)


def shown_amount(cents: int, language: Language) -> str:
    """Of reais: ``R$ 1.234,56``, and in English ``R$ 1,234.56``."""
    whole, rest = divmod(cents, 100)
    if language is Language.PT_BR:
        return f"R$ {whole:,}".replace(",", ".") + f",{rest:02d}"
    return f"R$ {whole:,}.{rest:02d}"


def shown_date(day: date, language: Language) -> str:
    if language is Language.PT_BR:
        return f"{day:%d/%m/%Y}"
    return f"{_MONTHS[day.month - 1]} {day.day}, {day.year}"


def shown_distance(days: int, language: Language) -> str:
    """In so many days from today, or so many ago: ``amanhã``, ``3 days ago``."""
    portuguese = language is Language.PT_BR
    match days:
        case 0:
            return "hoje" if portuguese else "today"
        case 1:
            return "amanhã" if portuguese else "tomorrow"
        case -1:
            return "ontem" if portuguese else "yesterday"
        case _ if days > 0:
            return f"em {days} dias" if portuguese else f"in {days} days"
        case _:
            return f"há {-days} dias" if portuguese else f"{-days} days ago"


def _filled(template: str, values: Mapping[str, str]) -> str:
    lines = []
    for line in template.splitlines():
        named = places(line)
        if named and not any(values[name] for name in named):
            continue
        lines.append(str(filled(line, values)).rstrip())
    return "\n".join(lines).strip()
