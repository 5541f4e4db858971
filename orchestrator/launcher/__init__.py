"""Starts the process tree: validates, prepares PostgreSQL, renders supervisord's configuration and becomes supervisord."""
