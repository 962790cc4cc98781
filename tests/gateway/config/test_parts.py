"""Secrets that stay secret, addresses, the packaged presets, and the page that documents it all."""

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farthing.gateway.config import Bounds, Breaker, Config, Retries, Rules, Secret, Telemetry, Timeouts, load
from farthing.gateway.config.address import is_loopback, is_own, is_private, wrong_with
from farthing.gateway.config.describe import described, doubts
from farthing.gateway.config.parts import SURFACES
from farthing.gateway.config.presets import PLACEHOLDERS, filled, presets, read_presets
from farthing.gateway.config.prices import HOST
from farthing.gateway.config.values import MIB, Upstream
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.serving.hosted import PROVIDER
from tests.gateway.config import KEYS, TODAY, read

PAGE = Path(__file__).parents[3] / "docs" / "gateway-config.md"
OWN_ENGINES = {"vllm", "sglang", "llamacpp", "ollama"}


# --- secrets ------------------------------------------------------------------------------------


def test_a_secret_shows_itself_to_nobody() -> None:
    one = Secret("sk-very-secret", "$KEY")
    shown = [str(one), repr(one), f"{one}", f"{one:>12}", f"{one!r}", "%s" % one, repr([one]), repr({"k": one})]  # noqa: UP031
    assert not any("secret" in text for text in shown)
    assert one.reveal() == "sk-very-secret" and one.whence == "$KEY"
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins):
        with pytest.raises(TypeError):
            encode(one)
    assert msgspec.json.encode([one], enc_hook=str) == b'["(hidden)"]'
    upstream = Upstream(name="u", provider="p", protocol="openai", url="https://x.example/v1", key=one)
    assert "very-secret" not in repr(upstream)
    with pytest.raises(TypeError):
        pickle.dumps(upstream)
    with pytest.raises(TypeError):
        copy.deepcopy(one)


def test_secrets_are_equal_by_what_they_hold() -> None:
    assert Secret("a", "$X") == Secret("a", "$Y") != Secret("b", "$X")
    assert len({Secret("a", "$X"), Secret("a", "$Y"), Secret("ü", "$Z")}) == 2
    assert Secret("a", "$X") != "a"


def test_a_described_configuration_holds_no_secret(tmp_path: Path) -> None:
    text = '[gateway]\ndatabase_env = "DB"\n[telemetry]\nmetrics_key_env = "MK"\n'
    env = {**KEYS, "DB": "postgres://u:db-secret@h/d", "MK": "mk-secret"}
    found = msgspec.json.encode(described(read(tmp_path, text, env))).decode()
    assert "secret" not in found
    assert '"database":"$DB"' in found and '"from":"$OPENAI_API_KEY","set":true' in found


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "a.localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host) and is_private(host)


@pytest.mark.parametrize("host", ["10.1.2.3", "192.168.1.1", "172.16.0.1", "fd00::1", "vllm", "gpu.internal", "a.svc"])
def test_private(host: str) -> None:
    assert is_private(host) and not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["8.8.8.8", "example.com", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "::ffff:8.8.8.8", "127.0.0.1.nip.io"],
)
def test_public(host: str) -> None:
    assert not is_private(host) and not is_loopback(host)


def test_plain_http_is_for_private_networks() -> None:
    assert wrong_with("http://10.0.0.1:8000/v1") is None and wrong_with("http://[::1]:8000/v1") is None
    assert wrong_with("http://api.example.com/v1") is not None
    assert wrong_with("http://api.example.com/v1", insecure=True) is None


@pytest.mark.parametrize(
    ("url", "host", "port", "own"),
    [
        ("http://127.0.0.1:4141/v1", "127.0.0.1", 4141, True),
        ("http://localhost:4141/v1", "::", 4141, True),
        ("http://localhost:4142/v1", "127.0.0.1", 4141, False),
        ("http://10.0.0.9:4141/v1", "10.0.0.9", 4141, True),
        ("http://10.0.0.9:4141/v1", "127.0.0.1", 4141, False),
        ("https://gw.example/v1", "gw.example", 443, True),
        ("http://gw.example/v1", "gw.example", 443, False),
        ("http://localhost:4141/v1", "10.0.0.9", 4141, False),
    ],
)
def test_the_gateways_own_address(url: str, host: str, port: int, own: bool) -> None:
    assert is_own(url, host, port) is own


# --- presets ------------------------------------------------------------------------------------


def test_the_providers_of_presets_are_in_the_price_book() -> None:
    book = Book()
    for preset in presets().values():
        if preset.name in OWN_ENGINES:
            assert book.provider(preset.provider) is None and not preset.key_env
        else:
            assert book.provider(preset.provider) == preset.provider, preset.name
            assert preset.key_env


def test_presets_are_whole() -> None:
    for preset in presets().values():
        url = filled(preset, dict.fromkeys(PLACEHOLDERS, "x"))
        assert wrong_with(url) is None and not url.endswith("/") and "{" not in url
        assert preset.models and preset.surfaces and set(preset.surfaces) <= set(SURFACES)
        assert ("messages" if preset.protocol == "anthropic" else "chat/completions") in preset.surfaces
        assert (preset.auth == "none") == (not preset.key_env)
        assert preset.automatic <= bool(preset.key_env)


def test_a_preset_without_a_source_is_refused() -> None:
    with pytest.raises(FarthingError, match=r"x:1: 'source' is missing"):
        read_presets('[preset.a]\nprovider = "a"\nprotocol = "openai"\nurl = "u"\nmodels = ["*"]\nsurfaces = []\n', "x")


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_can_be_used(tmp_path: Path, name: str) -> None:
    preset = presets()[name]
    blanks = [blank for blank in PLACEHOLDERS if f"{{{blank}}}" in preset.url]
    text = f'[[upstream]]\npreset = "{name}"\n' + "".join(f'{blank} = "abc"\n' for blank in blanks)
    [one] = read(tmp_path, text, dict.fromkeys(preset.key_env[-1:], "k")).upstreams
    assert one.name == name and one.key_from == "".join(f"${key}" for key in preset.key_env[-1:])
    assert one.surfaces == set(preset.surfaces) and one.target == preset.target


def test_no_model_of_the_price_book_is_claimed_by_two_makers() -> None:
    """A bare name goes to its maker: patterns of makers do not overlap on what they sell."""
    from fnmatch import fnmatchcase

    makers = [p for p in presets().values() if p.automatic and "*" not in p.models]
    book = Book()
    for preset in makers:
        names = [offer.model for offer in book.offers(preset.provider)]
        mine = [name for name in names if any(fnmatchcase(name, pattern) for pattern in preset.models)]
        assert mine, preset.name
        for other in makers:
            if other.provider != preset.provider:
                theirs = [name for name in mine if any(fnmatchcase(name, pattern) for pattern in other.models)]
                assert not [name for name in theirs if not name.startswith("claude-")], (
                    preset.name,
                    other.name,
                    theirs,
                )


def test_computed_rates_are_found_under_their_provider() -> None:
    assert HOST == PROVIDER


# --- doubts -------------------------------------------------------------------------------------


def test_what_has_no_price_is_told(tmp_path: Path) -> None:
    text = (
        '[[upstream]]\npreset = "vllm"\n'
        '[[upstream]]\npreset = "openai"\n[[upstream.model]]\nname = "a"\noffer = "deepinfra/none"\n'
        '[[model]]\nname = "fast"\ntargets = ["openai/gpt-4o", "openai/gpt-none"]\n'
        '[[policy]]\nkind = "route"\ntarget = "openai/gpt-nowhere"\n'
    )
    found = doubts(read(tmp_path, text))
    assert any("no price is known of provider 'vllm'" in one for one in found)
    assert any("openai/gpt-none has no price" in one for one in found)
    assert any("openai/a has no price: no offer deepinfra/none" in one for one in found)
    assert any("openai/gpt-nowhere has no price" in one for one in found)
    assert len(found) == 4


# --- the page -----------------------------------------------------------------------------------


def _example() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_of_the_page_is_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "anthropic").write_text("sk-ant\n")
    config = read(tmp_path, _example(), {"OPENAI_API_KEY": "k"})
    assert [one.name for one in config.upstreams] == ["openai", "anthropic", "ours"] and config.left_out == ("azure",)
    assert config.upstreams[2].offer == "host/llama-3.1-70b@h100-sxm*4,weights=fp8" and len(config.cards) == 1
    assert [one.name for one in config.models] == ["fast", "claude-*"]
    assert len(config.budgets) == 2 and config.timeouts.total_s == 300
    assert not [doubt for doubt in doubts(config) if "gpt-4o" in doubt]


def _documented(heading: str) -> dict[str, str]:
    """The keys that the table below `heading` documents, with the default in its second column."""
    text = PAGE.read_text("utf-8")
    body = re.split(r"\n##+ ", text[text.index(f"\n## {heading}") + 4 :])[0]
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]*?) ?\|", body, re.MULTILINE)
    found = {}
    for names, defaults in rows:
        keys, values = re.findall(r"`([^`]+)`", names), re.findall(r"`([^`]*)`", defaults)
        found.update(dict(zip(keys, values if len(values) == len(keys) else [""] * len(keys), strict=True)))
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return f'"{value}"' if isinstance(value, (str, Path)) else str(value)


def test_every_setting_is_documented_with_its_default() -> None:
    bounds = Bounds()
    sizes = {
        name: getattr(bounds, name.replace("mib", "bytes")) // MIB for name in ("body_mib", "answer_mib", "held_mib")
    }
    sizes["in_flight"] = bounds.in_flight
    expected: dict[str, dict[str, Any]] = {
        "`[rules]`": msgspec.structs.asdict(Rules()),
        "`[timeouts]`": msgspec.structs.asdict(Timeouts()),
        "`[retries]`": {
            **{f"retries.{k}": v for k, v in msgspec.structs.asdict(Retries()).items()},
            **{f"breaker.{k}": v for k, v in msgspec.structs.asdict(Breaker()).items()},
            **{f"bounds.{k}": v for k, v in sizes.items()},
        },
    }
    for heading, settings in expected.items():
        assert _documented(heading) == {name: _shown(value) for name, value in settings.items()}
    gateway = _documented("`[gateway]`")
    for name in ("host", "port", "workers", "data", "keys"):
        assert gateway[name] == _shown(getattr(Config(), name))
    assert set(gateway) == {"host", "port", "workers", "data", "keys", "cards", "hosts", "database_env"}
    rest = _documented("`[record]`")
    assert rest["telemetry.service"] == _shown(Telemetry().service) and rest["telemetry.metrics"] == "true"


def test_every_key_of_an_upstream_is_documented(tmp_path: Path) -> None:
    with pytest.raises(FarthingError) as caught:
        read(tmp_path, '[[upstream]]\npreset = "openai"\nzzzzzzzz = 1\n')
    known = set(str(caught.value).partition("known here: ")[2].rstrip(")").split(", "))
    documented = set(_documented("`[[upstream]]`")) | {"mean_input_tokens", "mean_output_tokens", "model"}
    assert known == documented


def test_the_presets_are_documented() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| `(https?://[^`]+)` \| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    page = {name: (url, tuple(re.findall(r"`([^`]+)`", keys))) for name, url, keys in rows}
    assert page == {one.name: (one.url, one.key_env) for one in presets().values()}


def test_the_same_file_gives_the_same_configuration(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "anthropic").write_text("sk-ant\n")
    assert read(tmp_path, _example()) == load(tmp_path / "farthing.toml", KEYS, today=TODAY)
