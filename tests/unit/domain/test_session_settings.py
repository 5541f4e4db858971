from ipaddress import ip_network

import pytest

from orchestrator.domain.outbound import AddressRules
from orchestrator.domain.session_settings import (
    DEFAULT_SETTINGS,
    HistorySync,
    SessionSettings,
    masked_proxy,
    proxy_problem,
    waiting_for_pairing,
)

LOOPBACK_TOO = AddressRules((ip_network("127.0.0.0/8"), ip_network("::1/128")))


@pytest.mark.parametrize(
    "url",
    [
        "http://proxy.example",
        "https://u:p@proxy.example:8443/",
        "socks5://loja:se%3Anha%401@127.0.0.1:1080",
        "socks5://[::1]:1080",
    ],
)
def test_what_can_be_a_proxy(url: str) -> None:
    assert proxy_problem(url, LOOPBACK_TOO) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.example:1080",
        "ftp://proxy.example",
        "socks5://",
        "socks5://:1080",
        "socks5://proxy.example:0",
        "socks5://proxy.example:99999",
        "socks5://[::1",
        "http://proxy.example/path",
        "http://proxy.example?x=1",
        "http://:senha@proxy.example",
        "http://u:" + "p" * 256 + "@proxy.example",
        "http://próxy.example",
        "http://proxy.example\n",
        "socks5://127.0.0.1:1080",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_what_can_not_and_why_without_its_secrets(url: str) -> None:
    problem = proxy_problem(url, AddressRules())
    assert problem is not None
    assert "ppp" not in problem


def test_a_password_is_never_shown() -> None:
    settings = SessionSettings(proxy="socks5://loja:senha@proxy.example:1080")
    assert masked_proxy("socks5://loja:senha@proxy.example:1080") == "socks5://loja:***@proxy.example:1080"
    assert masked_proxy("http://[::1]:8080") == "http://[::1]:8080"
    assert "senha" not in repr(settings)


def test_only_what_differs_is_kept_and_told() -> None:
    assert DEFAULT_SETTINGS.differing() == {}
    settings = SessionSettings(mark_online=False, history_sync=HistorySync.FULL, retention_days=0)
    assert settings.differing() == {"mark_online": False, "history_sync": "full", "retention_days": 0}


def test_what_waits_for_the_next_pairing() -> None:
    changed = SessionSettings(device_name="Loja", history_sync=HistorySync.NONE, ignore_groups=True)
    assert waiting_for_pairing(DEFAULT_SETTINGS, changed, paired=True) == ["device_name", "history_sync"]
    assert waiting_for_pairing(DEFAULT_SETTINGS, changed, paired=False) == []
    assert waiting_for_pairing(changed, changed, paired=True) == []
