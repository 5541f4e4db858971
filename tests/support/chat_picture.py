"""Pictures of chats for the documents, drawn from what the fake Telegram received: no line of them is made up."""

import base64
import re
from collections.abc import Sequence
from html import escape

from playwright.async_api import Browser

from tests.support.browser import PICTURES
from tests.support.fake_telegram import Shown

_STYLE = """
body { margin: 0; background: #d7e3ec; font: 15px/1.4 system-ui, "DejaVu Sans", sans-serif; color: #111; }
header { background: #517da2; color: #fff; padding: 12px 18px; font-weight: 600; }
main { padding: 14px; display: flex; flex-direction: column; gap: 10px; }
.row { display: flex; flex-direction: column; max-width: 86%; gap: 4px; }
.mine { align-self: flex-end; align-items: flex-end; }
.bubble { background: #fff; border-radius: 12px; padding: 9px 13px; white-space: pre-wrap; overflow-wrap: anywhere; }
.mine .bubble { background: #e1ffc7; }
.bubble img { display: block; width: 270px; border-radius: 8px; margin-bottom: 8px; }
.keys { display: flex; gap: 4px; }
.keys > span { flex: 1; text-align: center; background: rgba(60, 100, 130, .55); color: #fff; border-radius: 8px; padding: 7px 8px; }
code, pre { background: #eef2f5; border-radius: 4px; font-size: 13px; white-space: pre-wrap; }
"""


async def chat_picture(browser: Browser, name: str, title: str, messages: Sequence[Shown]) -> None:
    """Keep a picture of these messages, as a phone shows them."""
    body = "".join(_row(message) for message in messages)
    page = await browser.new_page(viewport={"width": 420, "height": 200})
    html = f"<!doctype html><style>{_STYLE}</style><header>{escape(title)}</header><main>{body}</main>"
    await page.set_content(html)
    await page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")
    await page.close()


#: Fonts of servers have no pictographs: the coloured dots are drawn, the others left out.
_DOTS = {"🟢": "#2e9e5b", "🟡": "#e0b020", "🟠": "#e07b20", "🔴": "#d03a3a", "⚪": "#b8c0c8"}
_PICTOGRAPHS = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u23e9-\u23fa\u25b6\ufe0f]+ ?")


def _row(message: Shown) -> str:
    return _drawn_dots(_bubble(message))


def _drawn_dots(html: str) -> str:
    for dot, colour in _DOTS.items():
        html = html.replace(dot, f'<span style="color: {colour}">●</span>')
    return _PICTOGRAPHS.sub("", html)


def _bubble(message: Shown) -> str:
    if not message.by_bot:
        return f'<div class="row mine"><div class="bubble">{escape(message.text)}</div></div>'
    photo = ""
    if message.photo is not None:
        photo = f'<img src="data:image/png;base64,{base64.b64encode(message.photo).decode()}">'
    if message.document is not None:
        photo = f"📎 <b>{escape(message.document[0])}</b>\n"
    keys = "".join(
        '<div class="keys">' + "".join(f"<span>{escape(key['text'])}</span>" for key in row) + "</div>"
        for row in message.buttons
    )
    text = re.sub(r"\n{3,}", "\n\n", message.text)
    return f'<div class="row"><div class="bubble">{photo}{text}</div>{keys}</div>'
