"""A token bucket: a link that has rested lets so many bytes through at once, then keeps its rate.

tc-tbf(8) and RFC 2697 have it for real links, and so have many clouds' virtual machines.
"""

from __future__ import annotations

import math

from traces.errors import InputError

#: Inflow that is this near to the rate is the rate: sums of shares round differently.
_SAME = 1 - 1e-9


class Bucket:
    """Tokens for so many bits; what passes takes them, and they come back at the rate.

    A side with one carries `peak_bps` while tokens are left, and `rate_bps` when none are. It is
    full at first. `inflow_bps` has been taking tokens since `since_s`, when there were
    `tokens_bits`; all of them are gone at `empty_s` if that goes on. Raises InputError unless
    0 < burst_bits < inf and rate_bps <= peak_bps < inf.
    """

    __slots__ = (
        "burst_bits", "empty_s", "inflow_bps", "peak_bps", "rate_bps", "since_s", "tokens_bits",
    )  # fmt: skip

    def __init__(self, rate_bps: float, burst_bits: float, peak_bps: float) -> None:
        if not 0 < burst_bits < math.inf:
            raise InputError(f"a bucket of {burst_bits} bits; expected more than 0, and finite")
        if not rate_bps <= peak_bps < math.inf:
            raise InputError(
                f"a bucket's peak_bps is {peak_bps}; expected its rate_bps, {rate_bps}, or more, "
                "and finite"
            )
        self.rate_bps = rate_bps
        self.burst_bits = burst_bits
        self.peak_bps = peak_bps
        self.tokens_bits = burst_bits
        self.since_s = 0.0
        self.inflow_bps = 0.0
        self.empty_s = math.inf

    def flow(self, inflow_bps: float, now_s: float) -> float:
        """From now on so much comes in; gives the rate that the side carries from now on."""
        if now_s >= self.empty_s:
            self.tokens_bits = 0.0
        else:
            gained_bits = (self.rate_bps - self.inflow_bps) * (now_s - self.since_s)
            self.tokens_bits = min(self.burst_bits, max(0.0, self.tokens_bits + gained_bits))
        self.since_s = now_s
        self.inflow_bps = inflow_bps
        self.empty_s = math.inf
        lost_bps = inflow_bps - self.rate_bps
        if not self.rate_bps:
            return 0.0  # an outage, which no tokens help against
        if self.tokens_bits:
            if lost_bps > 0:
                self.empty_s = now_s + self.tokens_bits / lost_bps
            return self.peak_bps
        return self.peak_bps if inflow_bps < _SAME * self.rate_bps else self.rate_bps
