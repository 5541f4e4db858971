"""Starts the process tree: validates, prepares PostgreSQL, renders supervisord's configuration and becomes supervisord."""


class LaunchError(Exception):
    """The process tree can't start here and now; the message is one sentence that says why and what to do."""
