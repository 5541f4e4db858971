"""Time as a way in: the loops that run without anybody asking."""
