from farthing.gateway.caller import Attribution, attribution, merged, read_tags, token_of
from farthing.gateway.metering import Asked

NONE = Attribution()


def test_the_key_is_found_where_either_protocol_puts_it():
    assert token_of({b"authorization": b"Bearer fk-1"}) == "fk-1"
    assert token_of({b"authorization": b"bearer  fk-1 "}) == "fk-1"
    assert token_of({b"x-api-key": b"fk-2"}) == "fk-2"
    assert token_of({b"api-key": b"fk-3"}) == "fk-3"
    assert token_of({b"authorization": b"Basic Zm9v"}) == ""
    assert token_of({}) == ""


def test_headers_go_before_the_body_and_the_body_before_defaults():
    asked = Asked(user="body-user", session="s1", metadata={"feature": "body-feature", "team": "x", "user_id": "u"})
    key = Attribution(feature="key-feature", user="key-user", segment="key-segment", tags={"team": "key", "env": "dev"})
    found = attribution(
        {b"x-farthing-user": b"header-user", b"x-farthing-tags": b"env=prod,beta"}, asked, merged(key, NONE)
    )
    assert found == Attribution(
        feature="body-feature", user="header-user", segment="key-segment", session="s1",
        tags={"team": "x", "env": "prod", "beta": "true"},
    )  # fmt: skip


def test_the_first_default_that_says_it_holds():
    found = attribution({}, Asked(), merged(Attribution(user="alice"), Attribution(user="nobody", feature="chat")))
    assert (found.user, found.feature) == ("alice", "chat")


def test_what_a_header_says_is_one_short_line():
    found = attribution(
        {b"x-farthing-feature": b"a\tb" + b"x" * 5000, b"x-farthing-user": "Zoë".encode()}, Asked(), NONE
    )
    assert found.feature.startswith("a b") and len(found.feature) <= 256
    assert found.user == "Zoë"


def test_tags_are_bounded():
    assert read_tags("a=1,b,=3,c=x=y") == {"a": "1", "b": "true", "c": "x=y"}
    assert len(read_tags(",".join(f"t{n}=1" for n in range(500)))) <= 32
