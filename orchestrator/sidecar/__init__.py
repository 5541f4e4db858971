"""The outside processes: the sidecar's control API and supervisord."""
