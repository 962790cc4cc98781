"""The layout of msgspec's Structs, which compiled parts rely on."""

import msgspec
import pytest

from farthing.gateway.metering.values import Asked, Served
from farthing.ledger.row import Attempt
from farthing.struct_fields import offset_of


class Plain(msgspec.Struct, frozen=True, gc=False):
    one: int = 1
    other: str = ""


class Followed(msgspec.Struct, frozen=True):
    one: int = 1


class Hashed(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    one: int = 1


class Open(msgspec.Struct, dict=True, weakref=True):
    one: int = 1


class Longer(Plain, frozen=True, gc=False):
    last: int = 2


class Elsewhere:
    """Looks like a Struct, but its field is no slot."""

    __struct_fields__ = ()
    __struct_config__ = Plain.__struct_config__
    one = 1


def test_fields_lie_behind_the_head_one_pointer_after_the_other() -> None:
    head, pointer = object.__basicsize__, 8  # CPython on 64 bits: reference count and type, 16 bytes
    assert [offset_of(Plain, name) for name in ("one", "other")] == [head, head + pointer]
    for kind in (Asked, Served, Attempt):
        offsets = {offset_of(kind, name) for name in kind.__struct_fields__}
        assert offsets == set(range(head, head + pointer * len(kind.__struct_fields__), pointer))


@pytest.mark.parametrize("kind", [Followed, Hashed, Open, Elsewhere])
def test_a_type_that_is_laid_out_in_another_way_is_refused_with_a_word_why(kind: type) -> None:
    with pytest.raises(ImportError, match=rf"{kind.__name__}.one .* msgspec {msgspec.__version__}"):
        offset_of(kind, "one")


@pytest.mark.parametrize(("kind", "name"), [(Plain, "none"), (Plain, "__module__"), (Longer, "one")])
def test_what_is_no_field_of_the_type_itself_is_refused(kind: type, name: str) -> None:
    with pytest.raises(ImportError, match=rf"{kind.__name__}.{name} "):
        offset_of(kind, name)
