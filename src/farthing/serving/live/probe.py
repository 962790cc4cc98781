"""Find out how a server wants to be asked, and how it counts the tokens of our prompts."""

from array import array
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.problems import FarthingError
from farthing.serving.live import prompts
from farthing.serving.live.exchange import PATHS, Api, Dialect, Reply, exchange
from farthing.serving.measured.fields import engine_of

if TYPE_CHECKING:
    import aiohttp

_REFUSED = ("HTTP 400", "HTTP 422")
_ABSENT = ("HTTP 404", "HTTP 405", "HTTP 501")
_FALLBACKS: tuple[dict[str, Any], ...] = (
    {"ignore_eos": False}, {"limit": "max_completion_tokens"}, {"usage": False}
)  # fmt: skip
_SHORT, _PROBE_OUTPUT = 16, 2


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What probing found: how to ask, how prompts are counted, what runs there, and what to say about it."""

    dialect: Dialect
    lengths: prompts.Lengths
    engine: str = ""
    engine_version: str = ""
    notes: tuple[str, ...] = ()


def address(url: str, api: Api | None) -> tuple[str, Api]:
    """The base up to /v1 and the API that `url` names ("chat" where it names none).

    Raises `FarthingError` for what is no address.
    """
    base = url.strip().rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise FarthingError(f"{url!r} is no address; give one such as http://127.0.0.1:8000/v1")
    for name, path in PATHS.items():
        if base.endswith(path):
            return base.removesuffix(path), api or name
    return base if base.rsplit("/", 1)[-1].startswith("v") and base.count("/") > 2 else f"{base}/v1", api or "chat"


async def probe(
    session: "aiohttp.ClientSession", url: str, api: Api | None, model: str | None, stream: bool, input_tokens: int,
    seed: str,
) -> Found:  # fmt: skip
    """Ask short questions until one is answered, and count their tokens.

    Raises `FarthingError` where none is: with what the server said, and what would work.
    """
    base, chosen = address(url, api)
    listed = await _models(session, base)
    name = model or (str(listed[0].get("id")) if listed else "")
    if not name:
        raise FarthingError(f"{base}/models names no model; name the one to ask for (--model)")
    dialect, reply = await _agreed(
        session, Dialect(url=base, api=chosen, model=name, stream=stream), seed, fixed=api is not None
    )
    notes = []
    if not dialect.ignore_eos:
        notes.append("the server does not take ignore_eos: outputs may end early")
    if reply.output_tokens is None:
        notes.append("the server reports no usage in its stream: output tokens are counted as pieces of it")
    lengths = await _lengths(session, dialect, reply, input_tokens, seed)
    if not lengths.measured:
        notes.append("the server does not count prompt tokens: a word is taken as one")
    if (await _ask(session, dialect, _SHORT, seed)).resent:
        # The connection of the question before was dead: each request gets its own, within its own time.
        dialect = msgspec.structs.replace(dialect, reuse=False)
        notes.append("the server hangs up after each answer: TTFT includes opening a connection")
    engine, version = await _engine(session, base, listed)
    return Found(dialect=dialect, lengths=lengths, engine=engine, engine_version=version, notes=tuple(notes))


async def _agreed(session: "aiohttp.ClientSession", dialect: Dialect, seed: str, fixed: bool) -> tuple[Dialect, Reply]:
    """The dialect that is answered. `fixed`: the API was named, and the other is not tried."""
    reply = await _tried(session, dialect, seed)
    if isinstance(reply, tuple):
        return reply
    if not fixed and reply.error in (*_ABSENT, *_REFUSED):  # no such route, or no chat template
        other: Api = "completions" if dialect.api == "chat" else "chat"
        second = await _tried(session, msgspec.structs.replace(dialect, api=other), seed)
        if isinstance(second, tuple):
            return second
    said = f"{reply.error}{f': {reply.detail}' if reply.detail else ''}"
    raise FarthingError(f"{dialect.url}{PATHS[dialect.api]}: {said} ({_advice(reply.error)})")


async def _tried(session: "aiohttp.ClientSession", dialect: Dialect, seed: str) -> tuple[Dialect, Reply] | Reply:
    """`dialect` with as few of its fields given up as the server asks, and the answer; or the first refusal."""
    first: Reply | None = None
    for count in range(len(_FALLBACKS) + 1):
        for changes in combinations(_FALLBACKS, count):
            asked = msgspec.structs.replace(dialect, **{name: v for change in changes for name, v in change.items()})
            reply = await _ask(session, asked, _SHORT, seed)
            if not reply.error:
                return asked, reply
            first = first or reply
            if reply.error not in _REFUSED:  # no matter of fields
                return first
    assert first is not None
    return first


def _advice(error: str) -> str:
    return {
        "no connection": "is the server running, and is this its address?",
        "timeout": "give more time, or a smaller model",
        "HTTP 401": "name the variable that holds the key",
        "HTTP 403": "name the variable that holds the key",
        "HTTP 404": "check the address and the model's name",
        "HTTP 429": "the server limits requests; wait, or lower the load",
    }.get(error, "check the address, the model's name and the server's log")


async def _ask(session: "aiohttp.ClientSession", dialect: Dialect, words: int, seed: str) -> Reply:
    text = prompts.text(words, f"{seed}/probe/{words}")
    return await exchange(session, dialect, -1, text, _PROBE_OUTPUT, array("d"))


async def _lengths(
    session: "aiohttp.ClientSession", dialect: Dialect, first: Reply, input_tokens: int, seed: str
) -> prompts.Lengths:
    """A second probe of about the length wanted, so that the line through both is exact where it matters."""
    if first.input_tokens is None and dialect.stream:  # most servers count in a whole answer
        dialect = msgspec.structs.replace(dialect, stream=False)
        first = await _ask(session, dialect, _SHORT, seed)
    if first.input_tokens is None:
        return prompts.Lengths()
    words = max(2 * _SHORT, input_tokens - (first.input_tokens - _SHORT))
    second = await _ask(session, dialect, words, seed)
    if second.error:
        said = f"{second.error}: {second.detail}"
        raise FarthingError(f"{dialect.url}: a prompt of about {input_tokens} tokens is refused: {said} (ask for less)")
    return prompts.fitted((_SHORT, first.input_tokens), (words, second.input_tokens or 0))


async def _models(session: "aiohttp.ClientSession", base: str) -> list[dict[str, Any]]:
    tree = await _get(session, f"{base}/models", needed=True)
    data = tree.get("data") if isinstance(tree, dict) else None
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


async def _engine(session: "aiohttp.ClientSession", base: str, listed: list[dict[str, Any]]) -> tuple[str, str]:
    """The engine that owns the model, and its version where it tells it (vLLM does, at /version)."""
    engine = engine_of(str(listed[0].get("owned_by", ""))) if listed else ""
    if engine != "vllm":
        return engine, ""
    told = await _get(session, f"{base.rsplit('/', 1)[0]}/version")
    return engine, str(told.get("version", "")) if isinstance(told, dict) else ""


async def _get(session: "aiohttp.ClientSession", url: str, needed: bool = False) -> Any:
    """The JSON at `url`, or None: these questions are a courtesy, the benchmark does not need their answers.

    `needed`: raise `FarthingError` where no connection can be made, since then nothing else would work either.
    """
    import aiohttp

    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=10)) as response:
            return msgspec.json.decode(await response.read()) if response.status == 200 else None
    except aiohttp.ClientConnectorError as fault:
        if not needed:
            return None
        why = fault.strerror or str(fault)
        raise FarthingError(f"nothing answers at {url}: no connection, {why} ({_advice('no connection')})") from None
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return None
