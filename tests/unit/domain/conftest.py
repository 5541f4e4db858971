"""Properties are looked at with the same examples each time, and no matter how busy the machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ours", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ours")
