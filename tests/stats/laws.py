"""Laws to sample from: one of each family, unbounded and on [1, 256]."""

from __future__ import annotations

from avalattice.stats.tail_laws import (
    Family,
    exponential,
    lognormal,
    power_law,
    truncated_power_law,
)

LAWS = {
    Family.POWERLAW: power_law(2.2),
    Family.EXPONENTIAL: exponential(0.05),
    Family.LOGNORMAL: lognormal(3.0, 0.8),
    Family.TRUNCATED_POWERLAW: truncated_power_law(1.5, 0.01),
}
BOUNDED_LAWS = {
    Family.POWERLAW: power_law(1.5, xmax=256),
    Family.EXPONENTIAL: exponential(0.05, xmax=256),
    Family.LOGNORMAL: lognormal(3.0, 0.8, xmax=256),
    Family.TRUNCATED_POWERLAW: truncated_power_law(1.2, 0.02, xmax=256),
}
