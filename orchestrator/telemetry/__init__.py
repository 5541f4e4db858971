"""What the process tells of itself: log lines without secrets, and traces when somebody collects them."""
