"""Looks at everything that the service needs and says of each in one sentence whether it is well, and what to do if not."""
