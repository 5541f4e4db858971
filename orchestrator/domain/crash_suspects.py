"""Which session makes its sidecar crash: found by starting ever fewer of those that ran at each crash.

A process that ends takes all of its sessions along. Mostly it can say whose work threw the exception: that session is
isolated when it does it again within ``WINDOW_SECONDS``. Out of memory, or hanging, it can't. Then the first crash blames
nobody. From the second on in that time, the sessions that ran at both are suspects: half of them is started,
the others are held back. A crash puts the blame on those that ran, ``TRIAL_SECONDS`` without one clear them, and the
others are started. The last suspect is isolated. Among a hundred sessions that takes seven trials; whoever isn't a suspect runs all the time.
"""

from collections.abc import Collection, Iterable

#: What a session that was found out has as its reason.
ISOLATED = "This session ended the WhatsApp process again and again, so it is held back. Start it to try again."

WINDOW_SECONDS = 300.0
TRIAL_SECONDS = 30.0


class CrashSuspects:
    """Told what happens and when, by any clock that never goes back, in seconds."""

    def __init__(self) -> None:
        self._last: tuple[float, frozenset[int]] | None = None
        self._blamed: dict[int, float] = {}
        self._suspects: tuple[int, ...] = ()
        self._on_trial: frozenset[int] = frozenset()
        self._trial_began = 0.0
        self._isolated: set[int] = set()

    @property
    def isolated(self) -> frozenset[int]:
        """Sessions that were found out; they start when their owner says so."""
        return frozenset(self._isolated)

    @property
    def held_back(self) -> frozenset[int]:
        """Sessions that must not be started now."""
        return frozenset(self._isolated | set(self._suspects) - self._on_trial)

    def crashed(self, running: Collection[int], at: float, culprit: int | None = None) -> int | None:
        """A sidecar failed while these sessions ran in it, at the work of ``culprit`` if it knew; the one that is found
        out by that, if any."""
        if culprit is not None:
            return self._blame(culprit, at)
        ran = frozenset(running)
        if self._on_trial & ran:
            return self._narrow_to(self._on_trial & ran, at)
        before, self._last = self._last, (at, ran)
        if before is None or at - before[0] > WINDOW_SECONDS:
            return None
        return self._narrow_to(before[1] & ran or ran, at)

    def passed(self, at: float) -> bool:
        """Time went by; whether somebody was cleared by that, and others may be started."""
        if not self._suspects or at - self._trial_began < TRIAL_SECONDS:
            return False
        rest = frozenset(self._suspects) - self._on_trial
        self._suspects, self._on_trial, self._trial_began = tuple(sorted(rest)), rest, at
        return True

    def forgive(self, session_ref: int) -> None:
        """The session's owner wants it started, or it is gone."""
        self._isolated.discard(session_ref)
        self._blamed.pop(session_ref, None)
        self._suspects = tuple(ref for ref in self._suspects if ref != session_ref)
        self._on_trial -= {session_ref}

    def _blame(self, session_ref: int, at: float) -> int | None:
        before = self._blamed.get(session_ref)
        self._blamed[session_ref] = at
        if before is None or at - before > WINDOW_SECONDS:
            return None
        self.forgive(session_ref)
        self._isolated.add(session_ref)
        return session_ref

    def _narrow_to(self, suspects: Iterable[int], at: float) -> int | None:
        refs = sorted(suspects)
        if len(refs) == 1:
            self._isolated.add(refs[0])
            self._suspects, self._on_trial, self._last = (), frozenset(), None
            return refs[0]
        if refs:
            self._try_half(refs, at)
        return None

    def _try_half(self, refs: list[int], at: float) -> None:
        self._suspects = tuple(refs)
        self._on_trial = frozenset(refs[: (len(refs) + 1) // 2])
        self._trial_began = at
