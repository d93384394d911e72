"""Units are read as people write them, and written so that three digits tell the truth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.errors import InputError
from traces.units import bits, format_bytes, format_rate, format_s, parse_rate, parse_time


@pytest.mark.parametrize(
    ("text", "rate_bps"),
    [
        ("25Gbit/s", 25e9),
        ("100 Mbps", 100e6),
        ("9.4 Gb/s", 9.4e9),
        ("1.5 GB/s", 12e9),
        ("300 kB/s", 2.4e6),
        ("300 KB/s", 2.4e6),
        ("1e3 Mbit/s", 1e9),
        ("  2 Tbit/s ", 2e12),
        ("56000 bit/s", 56000),
        ("inf", math.inf),
        ("inf Gbit/s", math.inf),
    ],
)
def test_rates_are_read_as_bits_per_second(text: str, rate_bps: float) -> None:
    """Small b and "bit" are bits, capital B is bytes, prefixes are powers of ten."""
    assert parse_rate(text) == rate_bps


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        ("50us", 50e-6),
        ("50 \N{MICRO SIGN}s", 50e-6),
        ("50 \N{GREEK SMALL LETTER MU}s", 50e-6),
        ("0.1ms", 0.1e-3),
        ("1.5 ms", 1.5e-3),
        ("7ns", 7e-9),
        ("2 s", 2.0),
        ("0s", 0.0),
    ],
)
def test_times_are_read_as_seconds_to_the_last_bit(text: str, time_s: float) -> None:
    """A time is the float that Python reads in the same number of seconds."""
    assert parse_time(text) == time_s


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a number"),
        ("fast", "not a number"),
        ("nan Gbit/s", "not a number"),
        ("1.2.3Gbit/s", "not a number"),
        ("1e99999999999999999999bit/s", "not a number"),
        ("Gbit/s", "not a number"),
        ("25", "has no unit"),
        ("25 Gbit", "unknown unit 'Gbit'"),
        ("25 parsec", "unknown unit 'parsec'"),
        ("2.5 GiB/s", "unknown unit 'GiB/s'"),
        ("1,5 Gbit/s", "unknown unit ',5 Gbit/s'"),
        ("0 Gbit/s", "more than zero"),
        ("-1 Gbit/s", "more than zero"),
        ("1e-320bit/s", "must be 0.001bit/s or more"),
        ("1e-400bit/s", "more"),
    ],
)
def test_what_is_not_a_rate_is_refused_with_an_example(text: str, complaint: str) -> None:
    """The message quotes what was written and shows how to write it."""
    with pytest.raises(InputError) as caught:
        parse_rate(text)

    assert f"rate {text!r}" in str(caught.value)
    assert complaint in str(caught.value)


def test_a_unit_in_the_wrong_case_is_refused_with_those_it_may_mean() -> None:
    """Nobody knows whether mb/s is megabits or megabytes, so it is asked."""
    with pytest.raises(InputError, match=r"unknown unit 'mb/s'; write for example Mb/s or MB/s$"):
        parse_rate("100 mb/s")


@pytest.mark.parametrize(
    "text", ["nan s", "-1 s", "inf s", "inf", "3", "1 min", "1 MS", "s", "1e10s"]
)
def test_what_is_not_a_time_is_refused(text: str) -> None:
    """Times are finite, not negative, and have a unit."""
    with pytest.raises(InputError, match="time "):
        parse_time(text)


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0031, "3.10 ms"),
        (0.9996e-3, "1.00 ms"),
        (0.9994e-3, "999 µs"),
        (0.009999, "10.0 ms"),
        (59.999, "60.0 s"),
        (999.9, "1000 s"),
        (123456.0, "123000 s"),
        (1e-9, "1.00 ns"),
        (1e-12, "1.00 ps"),
        (1e-15, "0.00100 ps"),
        (1e-16, "1.00e-16 s"),
        (-1e300, "-1.00e+300 s"),
        (5e-324, "4.94e-324 s"),
        (-0.0031, "-3.10 ms"),
        (0.0, "0 s"),
        (-0.0, "0 s"),
        (math.inf, "inf s"),
        (-math.inf, "-inf s"),
        (math.nan, "nan s"),
    ],
)
def test_times_have_three_digits_and_the_unit_that_suits(time_s: float, text: str) -> None:
    """Rounding comes first and may move a time to the next unit."""
    assert format_s(time_s) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (7, "7 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (64e9, "64.0 GB"),
        (2**63, "9220 PB"),
        (1e30, "1.00e+30 B"),
        (0.5, "0.500 B"),
        (math.inf, "inf B"),
        (math.nan, "nan B"),
    ],
)
def test_bytes_are_whole_below_a_kilobyte_and_decimal_above(nbytes: float, text: str) -> None:
    """A kB is 1000 bytes; an average of bytes may be a fraction of one."""
    assert format_bytes(nbytes) == text


@pytest.mark.parametrize(
    ("rate_bps", "text"),
    [
        (9.4e9, "9.40 Gbit/s"),
        (1e11, "100 Gbit/s"),
        (300, "300 bit/s"),
        (math.inf, "inf bit/s"),
        (1e300, "1.00e+300 bit/s"),
    ],
)
def test_rates_are_written_in_bits(rate_bps: float, text: str) -> None:
    """Rates are decimal bits per second, as links are sold."""
    assert format_rate(rate_bps) == text


@given(st.floats(1e-9, 900))
def test_a_time_that_is_written_and_read_is_the_same_to_three_digits(time_s: float) -> None:
    """Rounding to three digits loses at most one part in two hundred."""
    assert parse_time(format_s(time_s)) == pytest.approx(time_s, rel=0.005)


@given(st.floats(1, 9e14))
def test_a_rate_that_is_written_and_read_is_the_same_to_three_digits(rate_bps: float) -> None:
    """Rounding to three digits loses at most one part in two hundred."""
    assert parse_rate(format_rate(rate_bps)) == pytest.approx(rate_bps, rel=0.005)


def test_a_byte_has_eight_bits() -> None:
    """The factor between the two units of size."""
    assert bits(3) == 24
