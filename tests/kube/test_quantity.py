"""Every notation of an amount, and everything that is none."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import MalformedError
from shared.kube.quantity import millis, of_bytes, of_millis, parse, whole

SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
NO_AMOUNTS = [
    "", " ", "NaN", "nan", "inf", "Infinity", "-1", "-0", "-1Gi", "1 Gi", " 1", "1\n", "1K", "1g", "1gi", "1GiB", "1mi",
    "Gi", ".", "e3", "1e", "1e+", "1e3k", "1_000", "0x10", "1,5", "\u0661", "1.2.3", "++1", "1e99999999999", "1e999",
    "1000E", "1" * 65, "9" * 64 + "E",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1Gi", 2**30), ("1G", 10**9), ("0.5", Decimal("0.5")), ("500m", Decimal("0.5")), ("1e3", 1000), ("1E3", 1000),
        ("12E", 12 * 10**18), ("100k", 10**5), (".5", Decimal("0.5")), ("1.", 1), ("+2", 2), ("1e-3", Decimal("0.001")),
        ("1.5Gi", 3 * 2**29), ("5n", Decimal("5e-9")), ("7u", Decimal("7e-6")), ("2Ki", 2048), ("1Ei", 2**60),
        ("128974848", 128974848), ("129M", 129 * 10**6), ("123Mi", 123 * 2**20), ("0", 0), ("0.0", 0),
    ],
)  # fmt: skip
def test_each_notation_is_read_exactly(text, value):
    assert parse(text) == value


@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(MalformedError) as refused:
        parse(text)
    assert refused.value.reason == "quantity"


@given(st.text(max_size=80) | st.from_regex(r"[-+0-9.eEinumkMGTP]{1,12}", fullmatch=True))
@example("1e-999")
def test_any_text_is_an_amount_or_refused(text):
    try:
        value = parse(text)
    except MalformedError:
        return
    assert 0 <= value < 10**21
    assert whole(text) >= value
    assert millis(text) >= value * 1000


@given(st.integers(0, 10**12), st.integers(0, 10**9 - 1), st.sampled_from(sorted(SUFFIXES)))
def test_a_decimal_notation_is_what_the_fraction_says(number, rest, suffix):
    text = f"{number}.{rest:09d}{suffix}"
    value = Fraction(number) + Fraction(rest, 10**9)
    value *= Fraction(10) ** SUFFIXES[suffix]
    if value >= 10**21:
        with pytest.raises(MalformedError):
            parse(text)
    else:
        assert Fraction(parse(text)) == value
        assert whole(text) == -(-value // 1)
        assert millis(text) == -(-value * 1000 // 1)


@given(st.integers(0, 2**63 - 1))
def test_what_is_written_is_read_as_the_same(value):
    assert whole(of_bytes(value)) == value
    assert millis(of_millis(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1, "1"), (1000, "1k"), (1024, "1Ki"), (2**30, "1Gi"), (1536 * 2**20, "1536Mi"), (10**9, "1G"),
     (2**60 * 3, "3Ei"), (1001, "1001")],
)  # fmt: skip
def test_bytes_have_the_largest_suffix_that_loses_nothing(value, text):
    assert of_bytes(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (500, "500m"), (2000, "2"), (1001, "1001m")])
def test_thousandths_are_written_as_cpu_is(value, text):
    assert of_millis(value) == text
