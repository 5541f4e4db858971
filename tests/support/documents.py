"""The shell commands of the documents, as a reader would run them.

A block that is marked as ``sh`` or ``console`` holds commands. A comment behind one says what comes of it: ``# 409 ...`` is the
status of its HTTP answer (any 2xx unless said), ``# exit code 1 ...`` its exit code (0 unless said). A value with ``...`` in it is the
reader's own.
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import wait_until

PROJECT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r" *```(\w*) *$")
_SHELLS = ("sh", "console")
_OWN_VALUE = re.compile(
    r"\b([A-Z][A-Z0-9_]*)=(?:'[^' ]*\.\.\.[^' ]*'|\"[^\" ]*\.\.\.[^\" ]*\"|[^\s'\"]*\.\.\.[^\s'\"]*)"
)
_HEREDOC = re.compile(r"<<-?'?(\w+)'?")


@dataclass(frozen=True)
class Command:
    """One command of a document; ``text`` is as it stands there, without the comment."""

    document: str
    line: int
    text: str
    comment: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def name(self) -> str:
        """The command on one line, by which lists name it."""
        return " ".join(self.text.replace("\\\n", " ").split())

    @property
    def status(self) -> int | None:
        """The documented status, if the comment begins with one."""
        found = re.match(r"([1-5]\d\d)\b", self.comment)
        return int(found[1]) if found else None

    @property
    def exit_code(self) -> int:
        found = re.match(r"exit code (\d+)\b", self.comment)
        return int(found[1]) if found else 0


def blocks(document: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """The fenced blocks in these languages: the number of the first line and the text, without the indentation of the fence."""
    fence: tuple[str, int, int] | None = None
    inside: list[str] = []
    for number, line in enumerate(document.read_text().splitlines(), 1):
        found = _FENCE.match(line)
        if fence is None:
            if found:
                fence = found[1], number + 1, len(line) - len(line.lstrip())
        elif found and not found[1]:
            if fence[0] in languages:
                yield fence[1], "\n".join(text[fence[2] :] for text in inside)
            fence, inside = None, []
        else:
            inside.append(line)
    assert fence is None, f"{document}: a block has no end"


def commands(document: Path) -> list[Command]:
    """All shell commands of a document, in its order."""
    found: list[Command] = []
    for first, block in blocks(document, *_SHELLS):
        held: list[str] = []
        for number, line in enumerate(block.splitlines(), first):
            held.append(line)
            if _goes_on(held):
                continue
            text, comment = _without_comment("\n".join(held))
            if text.strip():
                found.append(Command(_name(document), number - len(held) + 1, text.strip(), comment))
            held = []
        assert not held, f"{document}:{first}: a command has no end"
    return found


def _name(document: Path) -> str:
    return str(document.relative_to(PROJECT))


def _goes_on(lines: list[str]) -> bool:
    """Whether the command needs another line: a backslash, an open quote, or a document in place."""
    text = "\n".join(lines)
    heredoc = _HEREDOC.search(lines[0]) if "<<<" not in lines[0] else None
    if heredoc:
        return lines[-1].strip() != heredoc[1] or len(lines) == 1
    return _scan(text)[1] or _without_comment(text)[0].rstrip(" ").endswith("\\")


def _without_comment(text: str) -> tuple[str, str]:
    at = _scan(text)[0]
    return (text, "") if at is None else (text[:at].rstrip(), text[at + 1 :].strip())


def _scan(text: str) -> tuple[int | None, bool]:
    """Where a comment begins in the last line, and whether a quote is open at the end."""
    quote = ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (at == 0 or text[at - 1].isspace()):
            line_end = text.find("\n", at)
            if line_end == -1:
                return at, False
    return None, bool(quote)


@dataclass
class Ran:
    code: int
    output: str
    status: int | None
    """Of the last HTTP answer that curl had."""


@dataclass
class Reader:
    """A person with a shell: a folder, the variables that the documents had them set, and the values that are their own."""

    folder: Path
    port: int
    own_values: Mapping[str, str] = field(repr=False)
    environ: dict[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        (self.folder / ".curlrc").write_text(
            f'connect-to = "localhost:8080:127.0.0.1:{self.port}"\n'
            f'dump-header = "{self._headers}"\nsilent\nshow-error\nmax-time = 60\n'
        )
        self.environ = {**self.environ, "CURL_HOME": str(self.folder), "HOME": str(self.folder)}

    @property
    def _headers(self) -> Path:
        return self.folder / ".headers"

    def run(self, command: Command) -> Ran:
        """Run it to its end; one that listens for ever (`curl -N`) is ended when it has its answer."""
        self._headers.unlink(missing_ok=True)
        state = self.folder / ".exported"
        script = f"{self._filled_in(command)}\ncode=$?\nexport -p > {state}\nexit $code\n"
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                ["bash", "-o", "pipefail", "-c", script],
                cwd=PROJECT if command.name.startswith("make ") else self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                if "curl -N" in command.name:
                    wait_until(lambda: self._status() or process.poll() is not None, 30, f"an answer to {command.name}")
                    code = 0
                else:
                    code = process.wait(60)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.seek(0)
            output = log.read().decode(errors="replace")
        if state.exists():
            self._remember(state)
        return Ran(code, output, self._status())

    def _filled_in(self, command: Command) -> str:
        """The command with the reader's own values where the document leaves them out."""

        def own(match: re.Match[str]) -> str:
            # One that nobody has stays as it is, and is what the next command fails by.
            name = match[1]
            return f"{name}='{self.own_values[name]}'" if name in self.own_values else match[0]

        return _OWN_VALUE.sub(own, command.text)

    def _status(self) -> int | None:
        if not self._headers.exists():
            return None
        found = re.findall(r"^HTTP/\S+ (\d{3})", self._headers.read_text(errors="replace"), re.MULTILINE)
        return int(found[-1]) if found else None

    def _remember(self, state: Path) -> None:
        """What the command exported is there for the next one."""
        printed = subprocess.run(
            ["bash", "-c", f". {state}; env -0"], capture_output=True, text=True, check=True, cwd=self.folder
        ).stdout
        pairs = (pair.partition("=") for pair in printed.split("\0") if pair)
        self.environ |= {name: value for name, _, value in pairs if name not in {"_", "PWD", "OLDPWD", "SHLVL"}}
        state.unlink()


def make_targets() -> set[str]:
    """The targets of the Makefile that a person may name."""
    return set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def documents() -> list[Path]:
    """All documents with commands for readers, in the order in which one reads them."""
    first = [PROJECT / name for name in ("README.md", "README.pt-BR.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*first, *sorted((PROJECT / "docs").glob("*.md"))]


def distinct(found: Iterable[Command]) -> list[Command]:
    """Each command with what it says of its outcome once, where it stands first: a second time it would show nothing new."""
    first: dict[tuple[str, int | None, int], Command] = {}
    for command in found:
        first.setdefault((command.name, command.status, command.exit_code), command)
    return list(first.values())
