"""Every mistake is one line: file, line, reason, and what would work."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.config import load
from farthing.problems import FarthingError
from tests.gateway.config import KEYS, read, refusal

OPENAI = '[[upstream]]\npreset = "openai"\n'
BOX = '[[upstream]]\nname = "box"\nprotocol = "openai"\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        # --- the file
        ("[gateway\n", 1, "Expected"),
        ("[gateway]\nport = 1\nport = 2\n", 3, "duplicate"),
        ("port = 1\n", 1, "'port' stands outside a table (write it under [gateway])"),
        ("[[upstreams]]\n", 1, "unknown key 'upstreams' (did you mean 'upstream'?)"),
        ("[gateway]\nprot = 1\n", 2, "unknown key 'prot' (did you mean 'port'?)"),
        ("[gateway]\nport = 65536\n", 2, "'port' is 65536 (at most 65535)"),
        ("[gateway]\nport = \"1\"\n", 2, "'port' is '1', not a whole number of at least 0"),
        ("[gateway]\nworkers = 0\n", 2, "'workers' is 0"),
        ("[gateway]\nhost = \"a/b\"\n", 2, "'a/b' is no address to listen at"),
        ("[gateway]\nkeys = \"yes\"\n", 2, "'keys' is 'yes' (one of auto, required, off)"),
        ("[gateway]\ncards = [\"none.toml\"]\n", 2, "none.toml: no such file"),
        ("[gateway]\nhosts = \"none.toml\"\n", 2, "none.toml: no such file"),
        ("[gateway]\ndatabase = \"postgresql://u:hunter2@h/d\"\n", 2, "a database's address holds a password"),
        ("[gateway]\ndatabase_env = \"NONE\"\n", 2, "$NONE is not set (export NONE=postgresql://…)"),
        ("[gateway]\ndatabase_env = \"OPENAI_API_KEY\"\n", 2, "$OPENAI_API_KEY is not a PostgreSQL address"),
        # --- upstreams: who
        ("[[upstream]]\n", 1, "'name' is missing"),
        ('[[upstream]]\npreset = "opnai"\n', 2, "no preset 'opnai' (did you mean 'openai'?)"),
        ('[[upstream]]\nname = "a/b"\npreset = "openai"\n', 2, "'a/b' is no name for an upstream"),
        (OPENAI + OPENAI, 4, "upstream 'openai' is there twice (the other: farthing.toml:1; give this one"),
        ('[[upstream]]\nname = "box"\n', 1, "'protocol' is missing"),
        ('[[upstream]]\nname = "box"\nprotocol = "grpc"\n', 3, "'protocol' is 'grpc' (one of openai, anthropic)"),
        # --- upstreams: where
        (BOX, 1, "'url' is missing"),
        (BOX + 'url = "ftp://x/v1"\n', 4, "'ftp://x/v1' is not an http or https address"),
        (BOX + 'url = "https:///v1"\n', 4, "is not an http or https address"),
        (BOX + 'url = "https://x.example:99999/v1"\n', 4, "is no address"),
        (BOX + 'url = "https://x.example"\n', 4, "has no path (most servers answer under /v1: https://x.example/v1"),
        (BOX + 'url = "http://x.example/v1"\n', 4, "would send the key and prompts in the clear (use https"),
        (BOX + 'url = "http://169.254.169.254/v1"\n', 4, "would send the key and prompts in the clear"),
        (BOX + 'url = "https://u:hunter2@x.example/v1"\n', 4, "'url' holds a user name or password"),
        (BOX + 'url = "https://u:hunter2 @x.example/v1"\n', 4, "'url' holds characters that an address cannot hold"),
        (BOX + 'url = "https://x.example/v1?a=b"\n', 4, "holds a query or fragment (write query = {"),
        (BOX + 'url = "https://x.example/v1/chat/completions"\n', 4, "ends with /chat/completions (write the base"),
        (BOX + 'url = "https://x.example/../v1"\n', 4, "holds '..'"),
        (BOX + 'url = "https://x.example/v1\\n"\n', 4, "holds characters that an address cannot hold"),
        (BOX + 'url = "http://127.0.0.1:4141/v1"\n', 4, "is the gateway's own address"),
        ('[gateway]\nhost = "0.0.0.0"\n' + BOX + 'url = "http://localhost:4141/v1"\n', 6, "the gateway's own"),
        ('[gateway]\nhost = "gw.internal"\nport = 443\n' + BOX + 'url = "https://GW.internal/v1"\n', 7, "own address"),
        ('[[upstream]]\npreset = "azure"\nkey_env = "OPENAI_API_KEY"\n', 1, "'resource' is missing"),
        ('[[upstream]]\npreset = "azure"\nkey_env = "OPENAI_API_KEY"\nresource = "a.evil.example/"\n', 4, "no address"),
        (OPENAI + 'resource = "a"\n', 3, "'resource' fills in the address of preset azure"),
        ('[[upstream]]\npreset = "bedrock"\nkey_env = "OPENAI_API_KEY"\n', 1, 'region = "…", or set $AWS_REGION'),
        # --- upstreams: keys
        (OPENAI + 'key_env = "NONE"\n', 3, "upstream 'openai' has no key: $NONE is not set (set it, name another"),
        (OPENAI + 'key = "sk-1234"\n', 3, "a key does not stand in the configuration (write key_env"),
        (OPENAI + 'key_env = "sk-proj-1234"\n', 3, "'key_env' is not the name of a variable"),
        (OPENAI + 'key_env = "A"\nkey_file = "b"\n', 4, "'key_env' and 'key_file' both say where the key is"),
        (OPENAI + 'key_file = "none"\n', 3, "none: cannot be read: No such file or directory"),
        (OPENAI + 'auth = "none"\nkey_env = "OPENAI_API_KEY"\n', 3, "'none' sends no key, but one is named"),
        (BOX + 'url = "https://x.example/v1"\nauth = "bearer"\n', 5, "'bearer' sends a key, and none is named"),
        (OPENAI + 'auth = "basic"\n', 3, "'auth' is 'basic' (one of bearer, x-api-key, api-key, none)"),
        (OPENAI + 'headers = { Authorization = "Bearer sk-1" }\n', 3, "header 'Authorization' looks like a key"),
        (OPENAI + 'headers = { x-goog-api-key = "s" }\n', 3, "header 'x-goog-api-key' looks like a key"),
        (OPENAI + 'headers = { Host = "x" }\n', 3, "header 'Host' is the gateway's to set"),
        (OPENAI + 'headers = { x-a = "b\\r\\nx-c: d" }\n', 3, "the value of header 'x-a' holds a character"),
        (OPENAI + 'headers = { "x a" = "b" }\n', 3, "'x a' is no name of a header"),
        (OPENAI + 'query = { api_key = "s" }\n', 3, "query 'api_key' looks like a key"),
        # --- upstreams: what
        (OPENAI + 'surfaces = ["chat"]\n', 3, "'chat' is no surface (one of chat/completions,"),
        (OPENAI + 'models = "gpt-4o"\n', 3, "'models' is 'gpt-4o', not a list of texts"),
        (OPENAI + 'target = { default_max_tokens = 5 }\n', 3, "unknown key 'default_max_tokens'"),
        (OPENAI + 'target = { model = "x" }\n', 3, "unknown key 'model'"),
        (OPENAI + 'target = { max_tokens_field = "tokens" }\n', 3, "(one of max_completion_tokens, max_tokens)"),
        (OPENAI + 'target = { most_stops = "many" }\n', 3, "'most_stops' is 'many', not a whole number"),
        (OPENAI + 'stream_usage = "never"\n', 3, "(one of asked, unasked)"),
        (OPENAI + 'timeouts = { shutdown_s = 5 }\n', 3, "unknown key 'shutdown_s'"),
        (OPENAI + 'most_in_flight = 0\n', 3, "'most_in_flight' is 0"),
        (OPENAI + 'free = true\n', 3, "unknown key 'free'"),
        (OPENAI + 'offer = "gpt-4o"\n', 3, "'gpt-4o' is no offer"),
        (OPENAI + 'price = "cheap"\n', 3, "'price' is 'cheap' (write price = \"host:NAME\""),
        (OPENAI + 'price = "host:x"\n', 3, "what a token costs a machine depends on the lengths of requests"),
        (OPENAI + 'price = "host:x"\noffer = "a/b"\n', 3, "'offer' and 'price' both state what it costs"),
        (OPENAI + 'mean_input_tokens = 5\n', 3, "'mean_input_tokens' goes with price"),
        (OPENAI + 'price = "host:x"\nmean_input_tokens = 5\nmean_output_tokens = 5\n', 3, "host:x is neither a saved"),
        (OPENAI + "[[upstream.model]]\nname = \"m\"\n", 3, "model 'm' says nothing"),
        (OPENAI + '[[upstream.model]]\nname = "m-*"\nsent = "n"\n', 5, "a pattern ('m-*') cannot be sent"),
        (OPENAI + '[[upstream.model]]\nname = "m"\nsent = "n"\n' + '[[upstream.model]]\nname = "m"\n', 7, "twice"),
        # --- models
        (OPENAI + '[[model]]\nname = "f"\n', 3, "'targets' is missing"),
        (OPENAI + '[[model]]\nname = "f"\ntargets = ["opnai/m"]\n', 5, "no upstream 'opnai' (did you mean 'openai'?)"),
        (OPENAI + '[[model]]\nname = "f"\ntargets = ["g"]\n', 5, "'g' is neither UPSTREAM/MODEL nor a [[model]]"),
        (OPENAI + '[[model]]\nname = "f"\ntargets = ["openai"]\n', 5, "'openai' names no model (write openai/MODEL"),
        (OPENAI + '[[model]]\nname = "f"\ntargets = ["openai/"]\n', 5, "'openai/' names no model"),
        (OPENAI + '[[model]]\nname = "f"\ntargets = ["f"]\n', 5, "f → f leads back to itself"),
        (
            OPENAI + '[[model]]\nname = "f"\ntargets = ["g"]\n[[model]]\nname = "g"\ntargets = ["f", "openai/m"]\n',
            5, "f → g → f leads back to itself (end it at UPSTREAM/MODEL)",
        ),
        (OPENAI + '[[model]]\nname = "f"\ntargets = ["openai/m"]\n' * 1 + '[[model]]\nname = "f"\n', 7, "there twice"),
        # --- policies
        (OPENAI + '[[policy]]\nkind = "route"\ntarget = "none/m"\n', 5, "no upstream 'none'"),
        (OPENAI + '[[policy]]\nkind = "cache"\n', 4, "'kind' is 'cache'"),
        # --- budgets and limits
        ('[[budget]]\nusd = 1\nperiod = "day"\n', 1, "'per' is missing (one of all, key, user, feature, team)"),
        ('[[budget]]\nper = "model"\nusd = 1\nperiod = "day"\n', 2, "'per' is 'model'"),
        ('[[budget]]\nper = "all"\nperiod = "day"\n', 1, "'usd' is missing"),
        ('[[budget]]\nper = "all"\nusd = -1\nperiod = "day"\n', 3, "'usd' is -1; it must be at least 0"),
        ('[[budget]]\nper = "all"\nusd = "1"\nperiod = "day"\n', 3, "write it without quotes"),
        ('[[budget]]\nper = "all"\nusd = 1e10\nperiod = "day"\n', 3, "more than a billion dollars"),
        ('[[budget]]\nper = "all"\nusd = 1\n', 1, "'period' is missing"),
        ('[[budget]]\nper = "all"\nusd = 1\nperiod = "year"\n', 4, "(one of day, week, month, total)"),
        ('[[budget]]\nper = "all"\nwho = "a"\nusd = 1\nperiod = "day"\n', 3, "'all' is everybody"),
        ('[[budget]]\nper = "all"\nusd = 1\nperiod = "day"\n' * 2, 5, "there twice (the other: farthing.toml:1)"),
        ('[[limit]]\nper = "key"\n', 1, "a limit that limits nothing"),
        ('[[limit]]\nper = "key"\nconcurrent = 1\n' * 2, 4, "there twice"),
        # --- the rest
        ("[timeouts]\nconnect_s = 0\n", 2, "'connect_s' is 0; it must be above 0"),
        ("[timeouts]\nconnect_s = 1e9\n", 2, "more than 30 days"),
        ("[timeouts]\nconnect = 5\n", 2, "unknown key 'connect' (did you mean 'connect_s'?)"),
        ("[retries]\ncount = -1\n", 2, "'count' is -1"),
        ("[breaker]\nfailures = 0\n", 2, "'failures' is 0"),
        ("[bounds]\nbody_mib = 5000\n", 2, "more than 4096 MiB"),
        ("[bounds]\nbody_bytes = 5\n", 2, "unknown key 'body_bytes'"),
        ('[rules]\non_unknown_price = "free"\n', 2, "(one of refuse, admit)"),
        ('[record]\nfolder = "x"\n', 2, "but none are stored (write content = true)"),
        ('[record]\ncontent = "yes"\n', 2, "write true or false"),
        ('[telemetry]\nmetrics_key_env = "NONE"\n', 2, "$NONE is not set"),
        ('[telemetry]\notlp = "http://x.example:4318"\n', 2, "in the clear"),
        ("[attribution]\nfeature = 5\n", 2, "'feature' is 5, not text"),
        ("[attribution]\ntags = { a = 5 }\n", 2, "'a' is 5, not text"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_and_repair(tmp_path: Path, text: str, line: int, said: str) -> None:
    found = refusal(tmp_path, text)
    assert found.startswith(f"farthing.toml:{line}: "), found
    assert said in found
    assert "hunter2" not in found and "sk-" not in found


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(FarthingError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
    (tmp_path / "x.toml").write_bytes(b"[gateway]\n\xff")
    with pytest.raises(FarthingError, match="not UTF-8 text at byte 10"):
        load(tmp_path / "x.toml", {})


@pytest.mark.parametrize(
    ("content", "said"),
    [(b" \n", "is empty"), (b"a b", "holds a space"), (b"a\x00b", "holds a character"), (b"k" * 20_000, "is longer")],
)
def test_key_files_hold_one_key_which_is_never_shown(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "k").write_bytes(content)
    found = refusal(tmp_path, OPENAI + 'key_file = "k"\n')
    assert found.startswith("farthing.toml:3: ") and said in found and "a b" not in found


EVERYTHING = """[gateway]
host = "127.0.0.1"
port = 4141
keys = "auto"
[[upstream]]
preset = "openai"
models = ["gpt-4o"]
timeouts = { idle_s = 5 }
[[upstream.model]]
name = "m"
offer = "openai/gpt-4o"
[[model]]
name = "fast"
targets = ["openai/m"]
[[policy]]
kind = "split"
name = "s"
weights = { "openai/m" = 1, asked = 2 }
[[budget]]
per = "user"
usd = 1.5
period = "day"
[[limit]]
per = "key"
concurrent = 5
[rules]
hold_s = 5
[telemetry]
metrics = true
"""


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_is_written_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    lines = EVERYTHING.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        how = data.draw(st.sampled_from(["drop", "value", "double", "text"]))
        key, equals, _ = lines[at].partition(" = ")
        if how == "value" and equals:
            value = data.draw(
                st.sampled_from(["0", "-1", "1e30", "nan", "true", '""', '"x"', "[]", '["a"]', "{}", "{ a = 1 }",
                                 "2026-01-01", '"\\u0000"', "[{ a = 1 }]", '"a/b"', "9223372036854775808"])
            )  # fmt: skip
            lines[at] = f"{key} = {value}"
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "text":
            lines[at] = data.draw(st.text(max_size=12))
        elif len(lines) > 1:
            del lines[at]
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        try:
            read(Path(folder), "\n".join(lines).encode("utf-8", "replace").decode(), KEYS)
        except FarthingError as error:
            assert "\n" not in str(error) and str(error)
