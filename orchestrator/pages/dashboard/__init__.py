"""The dashboard: everything that the API can do, for people with a browser.

A page here is a client of the API, with the short token that is in the browser's cookie (``log_in``): who may see and do what
is decided there, and what is put on record is put there. ``routes`` lists all pages and actions, ``visits`` is what each is
given, ``showing`` makes HTML of what it returns, now and whenever it changes.
"""

from orchestrator.pages.dashboard.routes import add_to

__all__ = ["add_to"]
