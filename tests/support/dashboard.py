"""A browser without scripts: it keeps cookies, follows what it is told, and posts the forms that it was given."""

import io
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape

import aiohttp

_TAG = re.compile(r"<(form|input|select|option|button|textarea)\b([^>]*)>|</form>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r'([\w-]+)(?:="([^"]*)")?')


@dataclass
class Shown:
    """A page as it was answered."""

    status: int
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def title(self) -> str:
        found = re.search(r"<h1[^>]*>(.*?)</h1>", self.text, re.DOTALL)
        return unescape(found[1].strip()) if found else ""

    def alert(self) -> str:
        """Why a form was refused; "" if none was."""
        found = re.search(r'role="alert">(.*?)</p>', self.text, re.DOTALL)
        return unescape(found[1].strip()) if found else ""

    def note(self) -> str:
        """What was done."""
        found = re.search(r'class="notice good" role="status">(.*?)</p>', self.text, re.DOTALL)
        return unescape(found[1].strip()) if found else ""

    def secret(self) -> str:
        """What is shown once."""
        found = re.search(r"<code data-copy[^>]*>(.*?)</code>", self.text, re.DOTALL)
        assert found is not None, f"{self.path} shows no secret: {self.alert()}"
        return unescape(found[1].strip())

    def form(self, action: str) -> dict[str, str]:
        """What the form that is posted to this path would send if nobody touched it."""
        fields: dict[str, str] = {}
        inside, select = False, ""
        for tag in _TAG.finditer(self.text):
            if tag[1] is None:
                if inside and fields:
                    return fields
                inside = False
                continue
            attributes = {name: unescape(value) for name, value in _ATTRIBUTE.findall(tag[2])}
            name = attributes.get("name", "")
            match tag[1].lower():
                case "form":
                    inside = attributes.get("action") == action
                case "input" if inside and name and attributes.get("type") != "checkbox":
                    fields[name] = attributes.get("value", "")
                case "input" if inside and name and "checked" in attributes:
                    fields[name] = attributes.get("value", "on")
                case "textarea" if inside and name:
                    content = self.text[tag.end() :].partition("</textarea>")[0]
                    fields[name] = unescape(content.removeprefix("\n"))
                case "select":
                    select = name
                case "option" if inside and ("selected" in attributes or select not in fields):
                    fields[select] = attributes.get("value", "")
                case _:
                    pass
        raise AssertionError(f"no form of {self.path} leads to {action}")


@dataclass
class Visitor:
    url: str
    http: aiohttp.ClientSession
    language: str = "en"
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> Shown:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, fields: Mapping[str, str | io.BytesIO], **headers: str) -> Shown:
        """Post these fields and no others; bytes as a file."""
        return await self._ask("POST", path, fields, {"Origin": self.url, "Sec-Fetch-Site": "same-origin", **headers})

    async def submit(self, page: Shown, action: str, /, **typed: str) -> Shown:
        """Fill in a form of the page, post it, and say yes if a question is asked."""
        answer = await self.post(action, {**page.form(action), **typed})
        if 'name="sure" value="yes"' in answer.text:
            answer = await self.post(action, {**answer.form(action), "sure": "yes"})
        return answer

    async def log_in(self, token: str) -> Shown:
        return await self.post("/login", {"token": token, "next": "/"})

    async def _ask(
        self, method: str, path: str, fields: Mapping[str, str | io.BytesIO] | None, headers: Mapping[str, str]
    ) -> Shown:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Accept-Language": self.language, **({"Cookie": cookie} if cookie else {}), **headers}
        async with self.http.request(
            method, self.url + path, data=fields, headers=sent, allow_redirects=False
        ) as response:
            body = await response.read()
            for name, morsel in response.cookies.items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        if response.status == 303:
            return await self._ask("GET", response.headers["Location"], None, {})
        return Shown(response.status, path, response.headers, body)


@asynccontextmanager
async def visitor(url: str, language: str = "en") -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Visitor(url, http, language)
