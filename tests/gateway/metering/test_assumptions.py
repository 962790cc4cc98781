"""The assumed sizes: each with its source, and a faulty file named by line."""

import pytest

from farthing.evidence import Grade
from farthing.gateway.metering.assumptions import assumptions, read_assumptions
from farthing.problems import FarthingError

SOURCE = '[source.a]\ntitle = "t"\nwhere = "w"\nseen = 2026-11-22\ngrade = "assumed"\n'


def test_the_packaged_sizes() -> None:
    sizes = assumptions().sizes
    assert sizes["image_tokens_most"].value == 2833 + 8 * 5667
    assert sizes["bytes_per_token"].source.grade is Grade.VENDOR_STATED
    assert all(size.value > 0 and size.note for size in sizes.values())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[size.x]\nvalue = 4\nsource = "b"\n', "x.toml:8: no [source.b]"),
        ('[size.x]\nvalue = "4"\nsource = "a"\n', "x.toml:7: 'value' is '4', not a whole number"),
        ('[size.x]\nsource = "a"\n', "x.toml:6: 'value' is missing"),
        ('[size.x]\nvalue = 4\nsource = "a"\nvalu = 5\n', "x.toml:9: unknown key 'valu'"),
        ('[[stream_usage]]\nprovider = "p"\nhow = "never"\nsource = "a"\n', "x.toml:8: 'how' is 'never'"),
    ],
)
def test_a_faulty_file(text: str, told: str) -> None:
    with pytest.raises(FarthingError) as fault:
        read_assumptions(SOURCE + text, "x.toml")
    assert str(fault.value).startswith(told)
