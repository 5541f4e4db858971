"""The Telegram bot: a process of its own, and a client of the public API like any other."""
