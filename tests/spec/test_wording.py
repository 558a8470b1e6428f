"""The short words: every number format has a name of its own."""

from itertools import product
from typing import get_args

import pytest

from tuner.candidate import Bits, Scheme
from tuner.spec.wording import FORMATS, format_name, format_text


@pytest.mark.parametrize(
    "bits, scheme, name, text",
    [
        (32, "none", "fp32", "fp32"),
        (32, "tf32", "tf32", "tf32"),
        (16, "none", "16 bit", "16 bit"),
        (16, "fp16", "fp16", "fp16"),
        (8, "dynamic", "int8", "int8 dynamic"),
        (8, "fp8", "fp8", "fp8"),
        (4, "weight-only", "int4", "int4 weight-only"),
    ],
)
def test_a_number_format_is_named_by_width_and_scheme(bits, scheme, name, text):
    assert (format_name(bits, scheme), format_text(bits, scheme)) == (name, text)


def test_whatever_a_candidate_may_say_has_a_place_in_the_list():
    said = {format_name(bits, scheme) for bits, scheme in product(get_args(Bits), get_args(Scheme))}
    assert said == set(FORMATS)
