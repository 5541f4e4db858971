"""Rates: a bucket that fills steadily and that each request takes from (a token bucket)."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a minute: all of them at once, or spread over it."""

    per_minute: int

    @property
    def per_second(self) -> float:
        return self.per_minute / 60


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was left at a moment, in seconds of a clock that only goes forward."""

    left: float
    at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether there was enough, and what a caller may be told about the rest."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    """Until the bucket is full again."""
    retry_after_seconds: float
    """Until there is enough for what was asked; 0 if there was."""


def full(rate: Rate, now: float) -> Bucket:
    return Bucket(float(rate.per_minute), now)


def take(bucket: Bucket, rate: Rate, now: float, number: int = 1) -> tuple[Bucket, Taken]:
    """Take ``number`` out of the bucket if there is enough; else nothing.

    More than the bucket can ever hold is allowed when it is full: it is empty for longer then.
    """
    left = min(float(rate.per_minute), bucket.left + max(0.0, now - bucket.at) * rate.per_second)
    enough = min(number, rate.per_minute)
    allowed = left >= enough and rate.per_minute > 0
    wait = 0.0
    if allowed:
        left -= number
    elif rate.per_minute > 0:
        wait = (enough - left) / rate.per_second
    else:
        wait = 60.0
    reset = (rate.per_minute - left) / rate.per_second if rate.per_minute > 0 else wait
    return Bucket(left, now), Taken(allowed, rate.per_minute, max(0, math.floor(left)), math.ceil(reset), wait)
