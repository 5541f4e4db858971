"""What the dashboard says: one catalogue for each language. A field that a language lacks doesn't type-check, and a test
compares keys and placeholders.

What the bot says as well (states, reasons of failures, errors) is said in its words: see orchestrator/bot/texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    # -- the frame
    skip: str
    navigation: str
    other_language: str
    log_out_here: str
    admin: str
    tenant: str
    offline: str
    to_beginning: str
    nothing: str
    first_page: str
    next_page: str
    show: str
    show_all: str
    all: str
    yes: str
    no: str
    copy: str
    shown_once: str
    at_a_glance: str
    actions: str
    create: str
    save: str
    change: str
    delete: str
    revoke: str
    choose: str
    name: str
    id: str
    number: str
    state: str
    since: str
    until: str
    at: str
    unknown: str
    active: str
    details: str

    # -- areas
    sessions: str
    backups: str
    tenants: str
    payments: str
    processes: str
    alerts: str
    broadcasts: str
    audit: str
    contacts: str
    reminders: str
    webhooks: str
    outbox: str
    subscription: str
    tokens: str

    # -- logging in
    login: str
    login_token: str
    login_hint: str
    login_wrong: str
    login_link: str
    login_link_over: str

    # -- what went wrong
    gone_title: str
    failed_title: str
    form_refused: str
    too_often: str
    unavailable: str
    error_other: str
    field_other: str

    # -- sessions
    session: str
    account: str
    last_day: str
    last_backup: str
    last_open: str
    received: str
    sent: str
    messages: str
    messages_picture: str
    lag_picture: str
    waits_for_database: str
    replicas: str
    uptime_picture: str
    uptime_picture_week: str
    search: str
    search_hint: str
    degraded: str
    new_session: str
    session_name: str
    session_name_hint: str

    # -- one session
    verified: str
    keys_compared: str
    repaired: str
    messages_7_days: str
    session_deleted: str
    start: str
    stop: str
    restart: str
    log_out: str
    link_again: str
    linking_title: str
    qr_alt: str
    qr_hint: str
    qr_rotated: str
    qr_waiting: str
    counts_for: str
    linking: str
    linking_over: str
    by_code: str
    phone: str
    phone_hint: str
    show_code: str
    code_title: str
    code_hint: str
    by_link: str
    who_asks: str
    who_asks_hint: str
    make_link: str
    link_made: str
    links: str
    link_revoked: str
    link_used: str
    uptime: str
    uptime_legend: str
    by_hour: str
    timeline: str
    pairings: str
    paired: str
    set_aside: str
    current: str
    restore: str
    events: str
    settings: str
    show_settings: str
    proxy: str
    proxy_hint: str
    device_name: str
    device_name_hint: str
    mark_online: str
    read_automatically: str
    ignore_groups: str
    ignore_status: str
    ignore_channels: str
    reject_calls: str
    reject_call_message: str
    history_sync: str
    history_none: str
    history_recent: str
    history_full: str
    retention_days: str
    retention_days_hint: str
    to_outbox: str
    export: str
    passphrase: str
    passphrase_hint: str

    # -- backups
    lag_hint: str
    degraded_sessions: str
    repaired_lately: str
    keys: str
    repairs: str
    journal: str
    not_yet: str
    stored: str
    backups_hint: str

    # -- tenants
    sessions_of: str
    blocked: str
    new_tenant: str
    tenant_id_hint: str
    limit_sessions: str
    limit_messages: str
    limit_storage: str
    no_limit_hint: str
    chat_retention: str
    chat_retention_hint: str
    storage: str
    access: str
    block: str
    block_reason: str
    block_hint: str
    unblock: str
    extend: str
    extend_days: str

    # -- tokens
    new_token: str
    token_made: str
    token_name_hint: str
    may: str
    may_read: str
    may_send: str
    may_manage: str
    token_lives: str
    forever: str
    one_day: str
    thirty_days: str
    one_year: str
    make_token: str
    begins_with: str
    last_used: str
    ended: str

    # -- billing
    plan: str
    plans: str
    plan_sessions: str
    plan_withdraw: str
    plan_withdrawn: str
    plan_offer: str
    price: str
    price_hint: str
    period: str
    month: str
    day: str
    email: str
    email_hint: str
    pay_by_pix: str
    pay_always: str
    pix_alt: str
    recurring: str
    recurring_agree: str
    recurring_cancel: str
    charges: str
    invoices: str
    amount: str
    revenue: str
    revenue_picture: str
    reconcile: str
    only_problems: str

    # -- customers
    amount_hint: str
    pix_code_hint: str
    note_hint: str
    new_contact: str
    recurrence: str
    mark_paid: str
    paid_last: str
    reminded_of: str
    occasion: str
    in_outbox: str
    sheet: str
    sheet_file: str
    sheet_hint: str
    import_now: str
    import_check: str
    import_checked: str
    import_wrong: str
    download: str

    # -- reminders
    schedules: str
    new_schedule: str
    schedule_hint: str
    message_language: str
    time_of_day: str
    time_zone: str
    time_zone_hint: str
    days_before_hint: str
    days_after_hint: str
    catch_up_hours: str
    catch_up_hint: str
    what_is_sent: str
    quiet_weekdays: str
    quiet_weekdays_hint: str
    reminder_texts: str
    own_text: str
    usual_text: str
    back_to_usual: str
    text: str
    variables: str
    variables_hint: str

    # -- webhooks
    address: str
    address_hint: str
    event_types: str
    event_types_hint: str
    session_or_all: str
    new_webhook: str
    webhook_made: str
    switched_off: str
    switched_on: str
    failing: str
    test: str
    test_result: str
    succeeded: str
    not_succeeded: str
    rotate: str
    deliveries: str
    event: str
    tries: str
    last_try: str
    replay: str
    replay_all: str

    # -- outbox
    to: str
    accepted: str
    send_at: str
    cancel_message: str

    # -- bulks and pacing
    bulks: str
    bulk: str
    new_bulk: str
    bulk_text_hint: str
    recipients: str
    recipients_hint: str
    send_bulk: str
    bulk_done: str
    bulk_waits: str
    cancel_bulk: str
    pacing: str
    applies_to: str
    messages_per_minute: str
    pace_hint: str
    jitter: str
    jitter_hint: str
    quiet_begins: str
    quiet_hint: str
    quiet_ends: str
    warm_up_first: str
    warm_up_hint: str
    warm_up_growth: str
    warm_up_days: str

    # -- processes
    processes_here: str
    process: str
    log: str
    replica: str
    this_one: str
    ready: str
    not_ready: str
    memory: str

    # -- alerts and broadcasts
    alert: str
    alerts_hint: str
    alert_told: str
    alert_muted: str
    mute: str
    unmute: str
    new_broadcast: str
    broadcast_hint: str
    send_broadcast: str
    cancel_broadcast: str
    broadcast_progress: str
    broadcast_counts: str

    # -- audit
    by_whom: str
    what: str
    answered: str
    from_where: str

    # -- by a word of the code
    notes: Mapping[str, str]
    """By the word in the address after something was done."""
    questions: Mapping[str, str]
    """Asked before something is done, with the parts of the address and of the form."""
    errors: Mapping[str, str]
    """By the error's code, beside those that the bot has."""
    fields: Mapping[str, str]
    """What is asked of a field, for one that was refused."""
    charge_states: Mapping[str, str]
    recurring_states: Mapping[str, str]
    payment_problems: Mapping[str, str]
    delivery_states: Mapping[str, str]
    message_states: Mapping[str, str]
    broadcast_states: Mapping[str, str]
    paced: Mapping[str, str]
    contact_states: Mapping[str, str]
    reminder_errors: Mapping[str, str]
    """Why a reminder wasn't sent, beside ``errors``."""
    template_variables: Mapping[str, str]
