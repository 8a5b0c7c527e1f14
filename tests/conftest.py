"""For all tests: what a property test measures is the property, never how fast the machine is at that moment."""

from hypothesis import HealthCheck, settings

# The first text that is drawn in a fresh checkout builds a table for a second or two, and a busy machine does the rest.
settings.register_profile("aether", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aether")
