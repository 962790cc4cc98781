"""What a configuration means: file, environment, presets and defaults resolved into one value."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from farthing.gateway.config import Config, Timeouts, load
from farthing.gateway.translation.words import AnthropicTarget, OpenAITarget
from farthing.problems import FarthingError
from farthing.serving.hosted import PROVIDER
from tests.gateway.config import KEYS, TODAY, read

TWO = '[[upstream]]\npreset = "openai"\n[[upstream]]\npreset = "anthropic"\n'


def test_without_a_file_the_keys_of_the_environment_make_the_upstreams() -> None:
    config = load(None, KEYS)
    assert [one.name for one in config.upstreams] == ["openai", "anthropic"]
    openai, anthropic = config.upstreams
    assert (openai.url, openai.auth, openai.provider) == ("https://api.openai.com/v1", "bearer", "openai")
    assert (anthropic.url, anthropic.auth, anthropic.protocol) == (
        "https://api.anthropic.com/v1", "x-api-key", "anthropic",
    )  # fmt: skip
    assert openai.key is not None and openai.key.reveal() == "sk-openai-secret"
    assert openai.key_from == "$OPENAI_API_KEY" and config.path is None and not config.notes
    assert "chat/completions" in openai.surfaces and "messages/count_tokens" in anthropic.surfaces
    assert isinstance(openai.target, OpenAITarget) and isinstance(anthropic.target, AnthropicTarget)
    assert config.chain is not None and config.chain.specs == ()


def test_nothing_at_all_is_a_configuration_that_says_so() -> None:
    config = load(None, {})
    assert config.upstreams == () and "no upstream" in config.notes[0]
    defaults = Config()
    assert (config.host, config.port, config.workers, config.data) == (
        defaults.host, defaults.port, defaults.workers, defaults.data,
    )  # fmt: skip


def test_blank_keys_count_as_unset() -> None:
    assert load(None, {"OPENAI_API_KEY": "  ", "GROQ_API_KEY": ""}).upstreams == ()
    [one] = load(None, {"GEMINI_API_KEY": "", "GOOGLE_API_KEY": " g-key\n"}).upstreams
    assert one.name == "gemini" and one.key is not None and one.key.reveal() == "g-key"
    assert one.key_from == "$GOOGLE_API_KEY"


def test_addresses_that_official_clients_read_change_the_environments_upstreams() -> None:
    env = {**KEYS, "OPENAI_BASE_URL": "https://proxy.example/openai/v1/", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    config = load(None, env)
    assert [one.url for one in config.upstreams] == ["https://proxy.example/openai/v1", "http://127.0.0.1:9/v1"]
    assert any("proxy.example" in note and "priced as openai's" in note for note in config.notes)
    [azure] = load(
        None, {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://c.openai.azure.com/"}
    ).upstreams
    assert azure.url == "https://c.openai.azure.com/openai/v1" and azure.auth == "api-key"


@pytest.mark.parametrize("own", ["http://127.0.0.1:4141/v1", "http://localhost:4141/v1/", "http://[::1]:4141/v1"])
def test_an_address_that_is_the_gateways_own_is_for_clients(own: str) -> None:
    config = load(None, {**KEYS, "OPENAI_BASE_URL": own})
    assert config.upstreams[0].url == "https://api.openai.com/v1"
    assert "own address" in config.notes[0]
    assert load(None, {**KEYS, "OPENAI_BASE_URL": own}, port=4142).upstreams[0].url == own.rstrip("/")


def test_an_address_in_the_environment_is_checked_and_not_shown() -> None:
    with pytest.raises(FarthingError, match=r"^\$OPENAI_BASE_URL: the address holds a user name or password") as caught:
        load(None, {**KEYS, "OPENAI_BASE_URL": "https://u:hunter2@proxy.example/v1"})
    assert "hunter2" not in str(caught.value)


def test_a_region_that_is_not_said_leaves_bedrock_out() -> None:
    config = load(None, {"AWS_BEARER_TOKEN_BEDROCK": "b"})
    assert config.upstreams == () and any("$AWS_REGION" in note for note in config.notes)
    config = load(None, {"AWS_BEARER_TOKEN_BEDROCK": "b", "AWS_REGION": "eu-west-1"})
    assert [one.url for one in config.upstreams] == [
        "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1",
        "https://bedrock-runtime.eu-west-1.amazonaws.com/anthropic/v1",
    ]
    assert {one.region for one in config.upstreams} == {"eu-west-1"}
    assert load(None, {"AWS_BEARER_TOKEN_BEDROCK": "b", "AWS_REGION": "evil.example/"}).upstreams == ()


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    text = '[gateway]\nhost = "10.0.0.1"\nport = 1\nworkers = 2\ndata = "d"\n'
    config = read(tmp_path, text, {})
    assert (config.host, config.port, config.workers, config.data) == ("10.0.0.1", 1, 2, tmp_path / "d")
    env = {"FARTHING_HOST": "0.0.0.0", "FARTHING_PORT": "3", "FARTHING_WORKERS": "4", "FARTHING_DATA": "/data"}
    config = read(tmp_path, text, env)
    assert (config.host, config.port, config.workers, config.data) == ("0.0.0.0", 3, 4, Path("/data"))
    config = load(tmp_path / "farthing.toml", env, host="::1", port=0, workers=6, data=Path("x"))
    assert (config.host, config.port, config.workers, config.data) == ("::1", 0, 6, Path("x"))


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    read(tmp_path, "[gateway]\nport = 5\n")
    env = {"FARTHING_CONFIG": str(tmp_path / "farthing.toml")}
    assert load(None, env).port == 5
    (tmp_path / "other.toml").write_text("[gateway]\nport = 6\n")
    assert load(tmp_path / "other.toml", env).port == 6
    with pytest.raises(FarthingError, match=r"\$FARTHING_CONFIG: no file"):
        load(None, {"FARTHING_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"FARTHING_PORT": "http"}, "$FARTHING_PORT: 'http' is not a whole number"),
        ({"FARTHING_PORT": "65536"}, "port is 65536; from 0 to 65535"),
        ({"FARTHING_WORKERS": "0"}, "workers is 0; from 1 to 256"),
        ({"FARTHING_HOST": "a b"}, "'a b' is no address to listen at"),
        ({"OPENAI_API_KEY": "sk\x01x"}, "$OPENAI_API_KEY holds a character that no header may hold"),
        ({"OPENAI_API_KEY": "sk x"}, "$OPENAI_API_KEY holds a space"),
    ],
)
def test_bad_variables_are_named(environ: dict[str, str], said: str) -> None:
    with pytest.raises(FarthingError) as caught:
        load(None, environ)
    assert str(caught.value).startswith(said)


def test_a_preset_may_be_changed_in_everything(tmp_path: Path) -> None:
    text = """
[timeouts]
total_s = 300
idle_s = 45
[[upstream]]
name = "eu"
preset = "openai"
provider = "OpenRouter"
url = "https://eu.example/v1/"
key_file = "secrets/eu"
auth = "api-key"
headers = { X-Team = "ml " }
query = { api-version = "2026-01-01 preview" }
models = ["gpt-4o"]
surfaces = ["/v1/chat/completions", "embeddings"]
target = { max_tokens_field = "max_tokens", most_stops = "none", top_k = true }
stream_usage = "unasked"
timeouts = { first_byte_s = 1.5 }
most_in_flight = 7
region = "eu"
tier = "flex"
[[upstream.model]]
name = "gpt-4o"
sent = "deployment-7"
offer = "azure/gpt-4o"
[[upstream.model]]
name = "gpt-*"
offer = "openai/gpt-4o-mini"
"""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "eu").write_text("k-eu\n")
    [one] = read(tmp_path, text).upstreams
    assert (one.name, one.preset, one.provider, one.url) == ("eu", "openai", "openrouter", "https://eu.example/v1")
    assert one.key is not None and one.key.reveal() == "k-eu" and one.key_from == "secrets/eu"
    assert (one.auth, one.headers, one.query) == (
        "api-key", (("x-team", "ml"),), (("api-version", "2026-01-01%20preview"),),
    )  # fmt: skip
    assert one.models == ("gpt-4o",) and one.surfaces == {"chat/completions", "embeddings"}
    assert one.target == OpenAITarget(max_tokens_field="max_tokens", most_stops=None, top_k=True)
    assert one.timeouts == Timeouts(first_byte_s=1.5, total_s=300, idle_s=45)
    assert (one.stream_usage, one.most_in_flight, one.region, one.tier) == ("unasked", 7, "eu", "flex")
    exact, by_pattern = one.model("gpt-4o"), one.model("gpt-9")
    assert exact is not None and (exact.sent, exact.offer) == ("deployment-7", "azure/gpt-4o")
    assert by_pattern is not None and by_pattern.offer == "openai/gpt-4o-mini" and one.model("o3") is None
    assert one.place == f"{tmp_path}/farthing.toml:5"


def test_an_upstream_without_a_preset(tmp_path: Path) -> None:
    text = '[[upstream]]\nname = "box"\nprotocol = "openai"\nurl = "http://box:8000/v1"\n'
    [one] = read(tmp_path, text).upstreams
    assert (one.auth, one.key, one.key_from, one.provider, one.models) == ("none", None, "", "box", ("*",))
    assert one.surfaces == {"chat/completions", "embeddings", "models"}
    [one] = read(tmp_path, text.replace("openai", "anthropic") + 'key_env = "BOX"\n', {"BOX": "k"}).upstreams
    assert one.auth == "x-api-key" and one.surfaces == {"messages"} and isinstance(one.target, AnthropicTarget)


def test_an_own_engine_may_have_a_key(tmp_path: Path) -> None:
    [one] = read(tmp_path, '[[upstream]]\npreset = "vllm"\nkey_env = "V"\n', {"V": "k"}).upstreams
    assert one.auth == "bearer" and one.key is not None
    [one] = read(tmp_path, '[[upstream]]\npreset = "vllm"\n').upstreams
    assert one.auth == "none" and one.key is None and one.key_from == ""


def test_an_optional_upstream_without_a_key_is_left_out_with_all_that_leads_to_it(tmp_path: Path) -> None:
    text = (
        TWO + "optional = true\n"
        + '[[model]]\nname = "best"\ntargets = ["anthropic/claude-opus-5", "openai/gpt-4o"]\n'
        + '[[model]]\nname = "claude"\ntargets = ["anthropic/claude-opus-5"]\n'
        + '[[policy]]\nkind = "route"\ntarget = "anthropic/claude-opus-5"\n'
    )  # fmt: skip
    config = read(tmp_path, text, {"OPENAI_API_KEY": "k"})
    assert [one.name for one in config.upstreams] == ["openai"] and config.left_out == ("anthropic",)
    assert {one.name: one.targets for one in config.models} == {"best": ("openai/gpt-4o",)}
    assert any("upstream 'anthropic' is left out: $ANTHROPIC_API_KEY is not set" in note for note in config.notes)
    assert any("model 'claude' is left out" in note for note in config.notes)
    assert [one.name for one in read(tmp_path, text).upstreams] == ["openai", "anthropic"]


def test_keys_need_not_be_there_to_check_a_file(tmp_path: Path) -> None:
    config = read(tmp_path, TWO, {}, need_keys=False)
    assert [one.key for one in config.upstreams] == [None, None]
    assert sum("is not set" in note for note in config.notes) == 2


def test_a_file_without_upstreams_takes_the_environments(tmp_path: Path) -> None:
    config = read(tmp_path, '[[budget]]\nper = "all"\nusd = 1\nperiod = "day"\n')
    assert [one.name for one in config.upstreams] == ["openai", "anthropic"]


def test_aliases_may_name_aliases(tmp_path: Path) -> None:
    text = (
        TWO + '[[model]]\nname = "smart"\ntargets = ["big", "small", "openai/*"]\n'
        + '[[model]]\nname = "big"\ntargets = ["anthropic/claude-opus-5"]\n'
        + '[[model]]\nname = "small"\ntargets = ["openai/gpt-4o-mini", "big"]\n'
    )  # fmt: skip
    smart = read(tmp_path, text).models[0]
    # big; small = mini + big (already there); then the name asked for
    assert smart.targets == ("anthropic/claude-opus-5", "openai/gpt-4o-mini", "openai/*")


def test_amounts_of_money_are_exact(tmp_path: Path) -> None:
    text = '[[budget]]\nper = "user"\nwho = "alice"\nusd = 0.1000000000000000000001\nperiod = "week"\nhard = false\n'
    [budget] = read(tmp_path, text).budgets
    assert budget.usd == Decimal("0.1000000000000000000001") and not budget.hard and budget.who == "alice"
    [limit] = read(tmp_path, '[[limit]]\nper = "key"\ntokens_per_minute = 1_000\n').limits
    assert (limit.requests_per_minute, limit.tokens_per_minute, limit.concurrent) == (None, 1000, None)


def test_every_table(tmp_path: Path) -> None:
    text = """
[gateway]
keys = "required"
database_env = "DB"
[retries]
count = 0
[breaker]
failures = 2
open_s = 1
[bounds]
body_mib = 2
in_flight = 10
[rules]
on_unknown_price = "admit"
hold_s = 60
[record]
content = true
folder = "said"
[telemetry]
metrics_key_env = "MK"
otlp = "http://127.0.0.1:4318"
service = "gw"
[attribution]
feature = "f"
tags = { env = "prod" }
"""
    config = read(tmp_path, text, {**KEYS, "DB": "postgresql://u:pw@h/d", "MK": "metrics-secret"})
    assert config.keys == "required" and config.database is not None and config.database.reveal().endswith("@h/d")
    assert config.retries.count == 0 and (config.breaker.failures, config.breaker.open_s) == (2, 1.0)
    assert (config.bounds.body_bytes, config.bounds.in_flight) == (2 * 1024 * 1024, 10)
    assert (config.rules.on_unknown_price, config.rules.hold_s) == ("admit", 60.0)
    assert config.record.content and config.record.folder == tmp_path / "said"
    assert config.telemetry.metrics_key is not None and config.telemetry.otlp == "http://127.0.0.1:4318"
    assert config.attribution.feature == "f" and config.attribution.tags == {"env": "prod"}
    assert "pw" not in repr(config) and "metrics-secret" not in repr(config)
    assert any("prompts and answers are stored" in note for note in config.notes)


def test_cards_are_read_with_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text(
        '[source.us]\ntitle = "t"\nwhere = "w"\nseen = 2026-11-01\ngrade = "assumed"\n'
        '[[offer]]\nprovider = "box"\nmodel = "m"\n[[offer.price]]\nsource = "us"\nrates = { input = 1, output = 2 }\n'
    )
    config = read(tmp_path, '[gateway]\ncards = ["ours.toml"]\n')
    assert [card.offers[0].model for card in config.cards] == ["m"]
    assert config.card_files == (tmp_path / "ours.toml",)
    (tmp_path / "ours.toml").write_text('[[offer]]\nprovider = "box"\n')
    with pytest.raises(FarthingError, match=r"ours\.toml:1: 'model' is missing"):
        read(tmp_path, '[gateway]\ncards = ["ours.toml"]\n')


def test_a_deployment_is_priced_by_what_it_computes(tmp_path: Path) -> None:
    (tmp_path / "farthing-hosts.toml").write_text(
        '[[host]]\nname = "box"\nmodel = "llama-3.1-70b"\ndevice = "h100-sxm"\ncount = "4"\nweights = "fp8"\n'
        'usd_per_gpu_hour = "2"\n'
    )
    text = (
        '[[upstream]]\npreset = "vllm"\nprice = "host:box"\nmean_input_tokens = 1000\nmean_output_tokens = 300\n'
        '[[upstream.model]]\nname = "m"\nprice = "host:box"\nmean_input_tokens = 1000\nmean_output_tokens = 300\n'
    )
    config = read(tmp_path, text)
    [one] = config.upstreams
    assert one.offer == f"{PROVIDER}/box" and one.served[0].offer == one.offer
    [card] = config.cards
    [offer] = card.offers
    assert (offer.provider, offer.model) == (PROVIDER, "box")
    rates = {rate.meter: float(rate.amount or 0) for rate in offer.prices[0].rates}
    # half the rent, half the price of each token: the rates are dollars an hour over tokens an hour
    (tmp_path / "farthing-hosts.toml").write_text((tmp_path / "farthing-hosts.toml").read_text().replace('"2"', '"1"'))
    halved = {rate.meter: float(rate.amount or 0) for rate in read(tmp_path, text).cards[0].offers[0].prices[0].rates}
    assert 0 < rates["input"] < rates["output"]
    assert halved["output"] == pytest.approx(rates["output"] / 2, rel=1e-5)
    assert TODAY.isoformat() in str(offer.prices[0].source.seen)


def test_what_is_allowed_but_should_be_known(tmp_path: Path) -> None:
    config = read(tmp_path, '[gateway]\nhost = "0.0.0.0"\nkeys = "off"\n')
    assert config.reachable and any("anybody there can spend" in note for note in config.notes)
    assert not read(tmp_path, '[gateway]\nkeys = "off"\n').notes


def test_a_mark_before_the_first_byte_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_bytes(b"\xef\xbb\xbf[gateway]\r\nport = 7\r\n")
    assert load(tmp_path / "farthing.toml", {}).port == 7


def test_loading_is_light() -> None:
    code = (
        "import sys; from farthing.gateway.config import load; load(None, {'OPENAI_API_KEY': 'k'}); "
        "heavy = {'duckdb', 'numpy', 'rich', 'typer', 'aiohttp', 'genai_prices', 'asyncio', 'farthing.rates.book', "
        "'farthing.serving', 'farthing.ledger'} & set(sys.modules); sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
