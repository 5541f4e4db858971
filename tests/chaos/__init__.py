"""Faults at random, but the same ones for the same seed, on two replicas under two-way traffic: `make chaos`."""
