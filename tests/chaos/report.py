"""An outcome as the page docs/chaos.md."""

import dataclasses
import statistics
from collections.abc import Sequence

from tests.chaos.faults import DRAIN_SECONDS, SLOW_SECONDS
from tests.chaos.run import AT_ONCE, OPEN_SECONDS, PAUSE_SECONDS, Gaps, Outcome
from tests.chaos.world import RATE

#: What the best of the others says of itself.
BEST_PEER = (
    "The best of the others says of itself: about 4 s on SIGTERM, and 35 s on SIGKILL, when its lease has run out "
    "(fazer-ai/baileys-api, #315)."
)
WORDS = {
    "qr_after_the_first": "QR codes after the first",
    "message_numbers_reused": "message numbers reused",
    "prekeys_reused": "one-time pre-keys reused",
    "sent_and_undecryptable": "sent messages that stayed undecryptable after the phones' retries",
    "acknowledged_and_lost": "sent messages that WhatsApp took and nobody could read in the end",
    "incoming_not_taken": "incoming messages that were never taken",
    "incoming_given_up": "incoming messages that were given up",
    "incoming_never_told": "incoming messages that were taken and never told to a listener",
    "two_live_sockets": "times that one device had two live sockets for longer than WhatsApp's own replacement",
    "not_open_again": f"sessions not open again {OPEN_SECONDS:.0f} s after the last fault",
}


def rendered(
    outcome: Outcome,
    handed_over: Sequence[Gaps] = (),
    file_store: Outcome | None = None,
    others: Outcome | None = None,
) -> str:
    lines = [
        "# Chaos",
        "",
        "`make chaos` plays faults at random on two replicas under traffic, and lets the fake WhatsApp server judge. The same seed draws the",
        f'same faults: `make chaos ARGUMENTS="--seed {outcome.seed} --faults {outcome.faults}"`.',
        "",
        f"{outcome.sessions} linked accounts; {RATE:g} messages a second each way; {outcome.faults} faults, one each {PAUSE_SECONDS[0]:g} to "
        f"{PAUSE_SECONDS[1]:g} s, up to {AT_ONCE} at a time; {outcome.seconds / 60:.0f} minutes.",
        "",
        "## What went wrong",
        "",
        *_wrong(outcome, others, file_store),
        "",
        "## What happened",
        "",
        "| | number |",
        "| --- | --- |",
        *(f"| {kind} | {number} |" for kind, number in sorted(outcome.played.items())),
        f"| nothing there to be done to at that moment | {outcome.skipped} |",
        "",
        f"- All sessions were open {outcome.open_again_seconds:.1f} s after the last fault.",
        f"- {outcome.accepted} sends were accepted, {outcome.refused} were refused (the session was not open at that moment), {outcome.unconfirmed} had no answer.",
        f"- {outcome.accepted_and_never_arrived} accepted sends never arrived: written to a socket that died, before WhatsApp acknowledged them.",
        f"- {outcome.incoming} incoming messages were taken.",
        f"- {outcome.logins} logins, {outcome.evictions} of which replaced a socket that WhatsApp still held.",
        "",
        *_hand_over(handed_over),
        "## The faults",
        "",
        "kill -9, SIGTERM and SIGSTOP (1 to 20 s) of the orchestrator, the sidecar, the whole container or PostgreSQL; a restart of PostgreSQL; the",
        f"connection to PostgreSQL, to WhatsApp or to the other replica cut, {SLOW_SECONDS:g} s late or half-open (1 to 20 s); the disk of the journal full; the clock",
        f"of a replica two hours or 90 s ahead or behind; an overlapping deploy with an empty disk, drained for {DRAIN_SECONDS:.0f} s or killed at once; a killed",
        "container that comes back with an empty disk. Of the other processes: kill -9, SIGTERM and SIGSTOP of the bot, the listener that writes",
        "alerts, the watcher of processes, supervisord alone, and one of two sidecars. The orchestrator and its sidecars are in one container, over",
        "loopback and a unix socket: what could fail between them is one of them, which SIGSTOP and the kills do.",
        "",
        "A disk on which there are changes that PostgreSQL doesn't have yet, because it was out of reach, is not thrown away: what only a lost",
        "disk has is lost, with whatever store.",
        "",
    ]
    return "\n".join(lines)


def _wrong(outcome: Outcome, others: Outcome | None, file_store: Outcome | None) -> list[str]:
    columns = {f"ours, {outcome.faults} faults": outcome}
    if others is not None:
        columns[f"ours, {others.faults} of the other processes"] = others
    if file_store is not None:
        columns[f"Baileys' file store, the first {file_store.faults}"] = file_store
    counts = [dataclasses.asdict(one.verdict) for one in columns.values()]
    lines = [
        f"| | {' | '.join(columns)} |",
        f"| --- |{' --- |' * len(columns)}",
        *(f"| {words} | {' | '.join(str(one[name]) for one in counts)} |" for name, words in WORDS.items()),
    ]
    if file_store is not None:
        lines += [
            "",
            "The file store keeps its disk through everything, has half of the accounts in each of the two containers, and has no database that",
            f"could fail: {file_store.skipped} faults found nothing to be done to. {file_store.accepted} sends were accepted, {file_store.refused} refused; {file_store.incoming} incoming messages were taken.",
        ]
    return lines


def _hand_over(gaps: Sequence[Gaps]) -> list[str]:
    if not gaps:
        return []
    return [
        "## Hand-over",
        "",
        "Overlapping deploys of one container under the same traffic: the new one, with an empty disk, is ready; then the old one gets SIGTERM, or is",
        "killed at once. How long each device was without a connection, as WhatsApp sees it:",
        "",
        "| drain | deploys | median | worst |",
        "| --- | --- | --- | --- |",
        *(
            f"| {f'{g.drain_seconds:.0f} s' if g.drain_seconds else 'none: SIGKILL'} | {g.deploys} | "
            f"{statistics.median(g.milliseconds) / 1000:.2f} s | {max(g.milliseconds) / 1000:.2f} s |"
            for g in gaps
            if g.milliseconds
        ),
        "",
        BEST_PEER,
        "",
    ]
