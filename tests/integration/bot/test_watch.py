"""The watch's rounds, one by one: real aiogram, the real API on a real database, and Telegram faked at the wire."""

from orchestrator.bot.dialogs.operator import dashboard
from orchestrator.bot.memory import Chat, Memory
from orchestrator.bot.telegram import Telegram
from orchestrator.bot.texts import TEXTS
from orchestrator.bot.watch import Watch
from orchestrator.client import Client
from orchestrator.domain.language import Language
from tests.support.bot import OPERATOR
from tests.support.fake_telegram import TOKEN, fake_telegram
from tests.support.postgres import migrated_database
from tests.support.public_api import public_api


async def test_a_newer_dashboard_is_brought_up_to_date_though_the_one_before_showed_the_same(
    postgres_server: str,
) -> None:
    with migrated_database(postgres_server) as database_url:
        async with public_api(database_url, bot_token=TOKEN) as api, fake_telegram() as fake:
            calls = Telegram(TOKEN, fake.url)
            async with Client(api.url, api.token) as client:
                memory = Memory(client, await client.bot.hold("watch", 60.0) or 0)
                chat = memory.chats[OPERATOR] = Chat(OPERATOR)
                watch = Watch(client, calls, memory, OPERATOR)

                async def shows_dashboard() -> None:
                    screen = dashboard(TEXTS[Language.EN], await client.operator.overview(), billing=False)
                    memory.operator.dashboard = await calls.show(chat, screen)

                await shows_dashboard()
                await watch.round(billing=False)  # no session
                token = await api.tenant("quitanda")
                await api.call("POST", "/v1/sessions", {"session_id": "balcao"}, token=token)
                await shows_dashboard()  # one session
                chat.asks_file = ["contacts-in"]
                await api.call("DELETE", "/v1/sessions/balcao?confirm=balcao", token=token)
                await api.call("DELETE", "/v1/tenants/quitanda")
                await watch.round(billing=False)  # none again
                assert ["Sessions: 0" in one.text for one in fake.chats[OPERATOR]] == [True, True]
                assert chat.asks_file == ["contacts-in"]  # goes on
                await watch.round(billing=True)
                assert fake.chats[OPERATOR][-1].button(TEXTS[Language.EN].payments)
            await calls.close()
