"""What the bot says: one catalogue for each language. A field that a language lacks doesn't type-check, and a test compares
keys and placeholders.

Texts are HTML as Telegram takes it; what stands in braces is filled in by ``fill``, which escapes it.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.alert import AlertKind
from orchestrator.domain.reminder import Recurrence, ReminderKind, Weekday
from orchestrator.domain.session import ConnectionState


def fill(template: str, **values: Any) -> str:
    """The text with these values in it, none of which can be taken for markup."""
    return template.format_map({name: html.escape(str(value), quote=False) for name, value in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    language_name: str
    #: Commands, as the menu beside the text field lists them.
    command_start: str
    command_help: str
    command_language: str

    back: str
    home: str
    refresh: str
    cancel: str
    yes: str
    no: str
    first_page: str
    next_page: str
    nothing_here: str
    press_a_button: str
    old_button: str
    not_text: str
    not_file: str
    file_too_large: str
    not_understood: str
    remove: str
    none: str
    too_long: str
    try_again_later: str
    language_chosen: str
    choose_language: str
    done: str
    date_format: str
    never: str

    states: Mapping[ConnectionState, str]
    pairing_failures: Mapping[str, str]
    errors: Mapping[str, str]
    """By the error's code."""
    error_other: str

    # -- signing up and the tenant's own menu
    welcome: str
    welcome_trial: str
    tenant_home: str
    tenant_line: str
    tenant_no_sessions: str
    connect: str
    connect_another: str
    status: str
    reconnect: str
    subscription: str
    invoices: str
    api_token: str
    web: str
    web_link: str
    help: str
    language: str
    help_text: str
    token_offer: str
    token_make: str
    token_shown: str
    tenant_blocked: str

    # -- a session
    session: str
    session_reason: str
    session_degraded: str
    session_failure: str
    by_qr: str
    by_code: str
    by_link: str
    start: str
    stop: str
    restart: str
    log_out: str
    log_out_sure: str
    logged_out: str
    new_pairing: str
    pairings: str
    pairings_title: str
    pairing_line: str
    restore: str
    restore_sure: str
    restored: str
    last_errors: str
    errors_title: str
    errors_line: str
    generation_actions: Mapping[str, str]
    """By what happened to a pairing."""
    export: str
    export_ask: str
    export_short: str
    export_done: str
    choose_connect: str
    qr_caption: str
    qr_rotated: str
    qr_waiting: str
    qr_done: str
    qr_over: str
    qr_failed: str
    phone_ask: str
    phone_wrong: str
    code_shown: str
    link_shown: str

    # -- the operator
    dashboard: str
    dashboard_journal_empty: str
    dashboard_journal: str
    dashboard_replica: str
    dashboard_memory: str
    dashboard_processes_fine: str
    dashboard_processes: str
    sessions: str
    in_trouble: str
    search: str
    search_ask: str
    sessions_title: str
    tenants: str
    tenants_title: str
    tenant: str
    tenant_is_blocked: str
    tenant_subscription: str
    tenant_new: str
    tenant_new_ask: str
    tenant_made: str
    block: str
    block_sure: str
    unblock: str
    extend: str
    extended: str
    plan: str
    plan_choose: str
    make_token: str
    tenant_sessions: str
    processes: str
    processes_title: str
    process: str
    process_restart: str
    process_restart_sure: str
    process_restarted: str
    log_tail: str
    log_empty: str
    payments: str
    payments_title: str
    payment_line: str
    payments_reconcile: str
    payments_reconciled: str
    revenue: str
    revenue_caption: str
    alerts: str
    alerts_title: str
    alert_kinds: Mapping[AlertKind, str]
    alert_on: str
    alert_muted: str
    alert_begun: Mapping[AlertKind, str]
    alert_over: Mapping[AlertKind, str]
    alert_more: str
    broadcast: str
    broadcast_ask: str
    broadcast_sure: str
    broadcast_go: str
    broadcast_running: str
    broadcast_done: str
    broadcast_cancelled: str
    broadcast_stop: str
    broadcast_nobody: str
    operator_only: str
    operator_help: str

    # -- alerts of processes, also when the bot is down
    first_token: str
    process_failed: str
    process_back: str

    # -- billing
    subscription_states: Mapping[str, str]
    subscription_text: str
    subscription_until: str
    pay: str
    pay_recurring: str
    email_ask: str
    email_wrong: str
    charge_caption: str
    charge_code: str
    recurring_shown: str
    recurring_cancel: str
    recurring_cancelled: str
    invoices_title: str
    invoice_line: str
    billing_notices: Mapping[str, str]

    # -- a tenant's customers and their reminders
    customers: str
    contacts_title: str
    contact_search_ask: str
    contact: str
    contact_note: str
    contact_paid_last: str
    contact_new: str
    contact_made: str
    contact_pay: str
    contact_was_paid: str
    contact_edit: str
    contact_edit_what: str
    contact_fields: Mapping[str, str]
    contact_ask: Mapping[str, str]
    contact_wrong: Mapping[str, str]
    """By the column of a file too."""
    contact_delete: str
    contact_delete_sure: str
    recurrences: Mapping[Recurrence, str]
    contacts_in: str
    contacts_in_ask: str
    contacts_in_wrong: str
    contacts_in_line: str
    contacts_in_file_wrong: str
    contacts_in_done: str
    contacts_out: str
    contacts_out_done: str
    reminder_texts: str
    reminder_texts_title: str
    reminder_kinds: Mapping[ReminderKind, str]
    reminder_text: str
    reminder_text_change: str
    reminder_text_ask: str
    reminder_text_wrong: str
    reminder_text_reset: str
    schedules: str
    schedules_title: str
    schedules_connect_first: str
    schedule: str
    schedule_new: str
    schedule_fields: Mapping[str, str]
    schedule_ask: Mapping[str, str]
    schedule_days: str
    schedule_delete: str
    schedule_delete_sure: str
    weekdays: Mapping[Weekday, str]
