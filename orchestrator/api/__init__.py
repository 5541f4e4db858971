"""HTTP: the public API for programs and the backup API for the sidecar."""
