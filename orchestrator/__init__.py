"""Keeps linked WhatsApp accounts linked: scan once, then never again."""
