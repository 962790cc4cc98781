"""`farthing up` as a person meets it: what it prints, what it reads, what it refuses, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farthing.cli.up_run import base_url, greeting
from farthing.gateway.config import load
from farthing.gateway.config.values import Config
from tests.gateway.ups import Up, environment, ups


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    yield from ups(tmp_path)


def greeted(**environ: str) -> str:
    return "\n".join(greeting(load(None, environ), 4141))


def test_it_says_what_is_behind_it_and_how_to_use_it() -> None:
    text = greeted(OPENAI_API_KEY="sk-very-secret", ANTHROPIC_API_KEY="other-secret")
    assert "Farthing's gateway serves at http://127.0.0.1:4141  (ledger: farthing-data)" in text
    assert "upstream  openai     https://api.openai.com/v1  (key from $OPENAI_API_KEY)" in text
    assert "OPENAI_BASE_URL=http://127.0.0.1:4141/v1 OPENAI_API_KEY=unused" in text
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:4141 ANTHROPIC_API_KEY=unused" in text
    assert "curl http://127.0.0.1:4141/v1/chat/completions -H 'content-type: application/json'" in text
    assert "keys      not needed while none exists" in text
    assert "secret" not in text


def test_the_example_is_json_that_a_shell_passes_on() -> None:
    for text in (greeted(OPENAI_API_KEY="x"), greeted(ANTHROPIC_API_KEY="x"), greeted()):
        lines = [line for line in text.splitlines() if line.strip().startswith("-d ")]
        for line in lines:
            said = subprocess.run(["bash", "-c", f"printf %s {line.strip()[3:]}"], capture_output=True, check=True)
            assert json.loads(said.stdout)["messages"][0]["role"] == "user"
        assert len(lines) == (0 if "no upstream" in text else 1)


def test_where_others_can_reach_it_a_key_is_needed_and_shown_in_the_examples() -> None:
    text = "\n".join(greeting(load(None, {"OPENAI_API_KEY": "x"}, host="0.0.0.0"), 4141))
    assert "0.0.0.0 can be reached from elsewhere: farthing keys create --name NAME" in text
    assert '-H "authorization: Bearer $FARTHING_KEY"' in text
    assert "http://127.0.0.1:4141" in text


def test_once_a_key_exists_it_says_that_keys_are_needed(up: Callable[..., Up]) -> None:
    gateway = up().serving()
    assert "not needed while none exists" in gateway.printed
    gateway.farthing("keys", "create", "--name", "me")
    os.kill(gateway.process.pid, signal.SIGTERM)
    gateway.process.wait(20)
    again = up().serving()
    assert "keys      needed, since some exist" in again.printed and "OPENAI_API_KEY=$FARTHING_KEY" in again.printed


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("gw.lan", "gw.lan")],
)
def test_the_address_to_give_to_a_client(host: str, shown: str) -> None:
    assert base_url(host, 80) == f"http://{shown}:80"


def test_many_upstreams_do_not_fill_the_screen() -> None:
    one = load(None, {"OPENAI_API_KEY": "x"}).upstreams[0]
    lines = greeting(Config(upstreams=(one,) * 30), 4141)
    assert sum("upstream" in line for line in lines) == 20 and any("and 10 more" in line for line in lines)


# --- as a process ---------------------------------------------------------------------------------


def test_it_starts_with_no_configuration_and_ends_at_a_signal(up: Callable[..., Up]) -> None:
    gateway = up().serving()
    with urllib.request.urlopen(f"{gateway.url}/readyz", timeout=10) as answer:
        assert json.load(answer)["ready"] is True
    assert (gateway.folder / "farthing-data" / "ledger.sqlite").exists()
    assert "no upstream: set OPENAI_API_KEY" in gateway.printed
    os.kill(gateway.process.pid, signal.SIGTERM)
    assert gateway.process.wait(20) == 0
    assert gateway.errors() == ""


def test_a_file_in_the_folder_is_used_and_reloaded_at_a_hang_up(up: Callable[..., Up], tmp_path: Path) -> None:
    upstream = '[[upstream]]\nname = "{}"\npreset = "vllm"\nurl = "http://127.0.0.1:9/v1"\nmodels = ["m"]\n'
    file = tmp_path / "farthing.toml"
    file.write_text('[gateway]\ndata = "books"\n' + upstream.format("first"))
    gateway = up("--workers", "2").serving()
    assert "(ledger: books)" in gateway.printed and "first" in gateway.printed
    file.write_text("[gateway]\ndatta = 3\n")
    os.kill(gateway.process.pid, signal.SIGHUP)
    gateway.until(lambda: "farthing.toml:2" in gateway.errors())
    assert "the old one stays in force" in gateway.errors()
    file.write_text('[gateway]\ndata = "books"\n' + upstream.format("second"))
    os.kill(gateway.process.pid, signal.SIGHUP)
    gateway.until(lambda: gateway.errors().count("the new configuration is in force") == 2)
    with urllib.request.urlopen(f"{gateway.url}/readyz", timeout=10) as answer:
        assert list(json.load(answer)["upstreams"]) == ["second"]
    os.kill(gateway.process.pid, signal.SIGINT)
    assert gateway.process.wait(20) == 0


def test_a_mistake_in_the_file_is_one_line_and_nothing_is_started(up: Callable[..., Up], tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text("[gateway]\n\nprot = 80\n")
    gateway = up()
    assert gateway.process.wait(20) == 2
    assert gateway.errors().count("\n") == 1
    assert gateway.errors().startswith("farthing: farthing.toml:3: ")
    assert not (tmp_path / "farthing-data").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--config", "none.toml"), "none.toml: cannot be read"),
        (("--port", "70000"), "65535"),
        (("--workers", "0"), "workers"),
        (("--host", "192.0.2.1"), "no such address"),
        (("--local", "--local-usd-per-hour", "much"), "dollars an hour"),
        (("--data", "/proc/none/here"), "the data folder cannot be written"),
    ],
)
def test_what_cannot_be_is_one_line(up: Callable[..., Up], arguments: tuple[str, ...], said: str) -> None:
    gateway = up(*arguments)
    assert gateway.process.wait(20) == 2
    assert gateway.errors().count("\n") == 1 and said in gateway.errors()


def test_a_port_in_use_is_one_line(up: Callable[..., Up]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = up("--port", str(taken.getsockname()[1]))
        assert gateway.process.wait(20) == 2
    assert gateway.errors().count("\n") == 1 and "something listens there already" in gateway.errors()


def test_several_gateways_may_share_a_data_folder(up: Callable[..., Up]) -> None:
    one, two = up().serving(), up().serving()
    assert one.url != two.url
    for gateway in (one, two):
        os.kill(gateway.process.pid, signal.SIGTERM)
        assert gateway.process.wait(20) == 0


def test_workers_are_forked_from_one_thread_with_nothing_heavy_in_it() -> None:
    """A fork copies only one thread: locks that others held stay locked for ever."""
    code = (
        "import os, sys, farthing.cli, farthing.cli.up_run, farthing.gateway.process.supervisor, farthing.gateway.app\n"
        "print(len(os.listdir('/proc/self/task')), [n for n in "
        "('duckdb', 'numpy', 'aiohttp', 'rich.console', 'scipy', 'genai_prices', 'typer') if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert said.stdout == "1 []\n"


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_it_is_ready_within_its_time(up: Callable[..., Up]) -> None:
    """The claim is 0.6 s to be ready (`make bench-gateway` measures it); here its processor time, which others on the
    machine disturb less, the least of five."""
    took = []
    for number in range(5):
        gateway = up("--data", f"data-{number}")
        while True:
            try:
                urllib.request.urlopen(f"{gateway.url}/readyz", timeout=5).close()
                break
            except OSError:
                assert gateway.process.poll() is None, gateway.errors()
                time.sleep(0.005)
        pid = gateway.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        took.append(sum(map(cpu_s, [pid, *map(int, children)])))
        os.kill(pid, signal.SIGTERM)
        assert gateway.process.wait(20) == 0
    assert min(took) < 0.6


def test_the_example_of_the_local_model_always_has_the_same_answer() -> None:
    text = "\n".join(greeting(load(None, {}), 4141, local=True))
    assert '"temperature": 0' in text and '"model": "gemma-3-270m"' in text


def test_other_verbs_are_told_what_leads_them_to_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("farthing.toml").write_text('[gateway]\ndata = "data"\n')
    Path("other.toml").write_text('[gateway]\ndata = "data"\n')
    own, other = (load(Path(name), {}) for name in ("farthing.toml", "other.toml"))
    assert greeting(own, 1)[-1].endswith(" ledger summary --by model")
    assert greeting(other, 1)[-1].endswith(" ledger summary --by model --config other.toml")
    elsewhere = load(Path("farthing.toml"), {}, data=Path("there"))
    assert greeting(elsewhere, 1)[-1].endswith(" ledger summary --by model --data there")
