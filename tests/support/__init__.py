"""What several tests need: real servers, child processes, deadlines."""
