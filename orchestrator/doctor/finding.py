"""What was found: one sentence about one thing."""

from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.doctor.texts import TEXTS
from orchestrator.domain.language import Language


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, and something should be better."""
    FAIL = "fail"
    """It doesn't work like this."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``text`` names a sentence of texts.py; ``values`` go into its places."""

    check: str
    verdict: Verdict
    text: str
    values: dict[str, object] = field(default_factory=dict)

    def sentence(self, language: Language) -> str:
        return TEXTS[language][self.text].format(**self.values)


def ok(check: str, text: str, **values: object) -> Finding:
    return Finding(check, Verdict.OK, text, values)


def warn(check: str, text: str, **values: object) -> Finding:
    return Finding(check, Verdict.WARN, text, values)


def fail(check: str, text: str, **values: object) -> Finding:
    return Finding(check, Verdict.FAIL, text, values)
