"""Auth states in other people's formats: read from and written to files, and read from the databases of other stores.

What comes in is checked whole before anybody stores it; what can't be taken raises ``AuthStateRefused`` with the reason.
"""
