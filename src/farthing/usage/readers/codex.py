"""Codex CLI rollout logs: JSONL under `sessions/`, one event a line.

A `token_count` event carries the session's cumulative total and the last request's own count. The
own count is taken; where only totals are written they are differenced. An event whose total has not
moved repeats the one before it. A forked or resumed session starts with a copy of its parent's
events, times rewritten: files of one family share what they have counted, so a copy counts once.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from farthing.problems import Problems
from farthing.usage.readers.base import Memory, Reader, shape
from farthing.usage.readers.values import (
    BadRow,
    Row,
    instant,
    meters,
    rest,
    text,
    whole,
)
from farthing.usage.record import Usage
from farthing.usage.streams import ABSENT, broken_json, decode_json, is_absent, numbered_lines

_FIELDS = (
    "input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens",
)  # fmt: skip


class _Line(msgspec.Struct):
    type: str | None = None
    timestamp: str | None = None
    payload: msgspec.Raw = ABSENT


_decode_line = msgspec.json.Decoder(_Line).decode
_TOLD = (b"token_count", b"turn_context", b"session_meta", b"thread_settings")


def _sniff(path_name: str, head: bytes) -> bool:
    return shape(head).has("type", "payload") or "/.codex/sessions/" in path_name.replace("\\", "/")


class _Session:
    """One rollout file as it is read: whose it is, which model is in force, what was last counted."""

    def __init__(self, name: str, memory: Memory) -> None:
        self.name, self.memory, self.named = name, memory, False
        self.model: str | None = None
        self.tier: str | None = None
        self.provider = "openai"
        self.total: dict[str, int] | None = None

    def meta(self, payload: Row) -> None:
        """A session's own header comes first; those of its ancestors are copied after it."""
        name = text(payload.get("id")) or text(payload.get("session_id"))
        if name is None:
            return
        if not self.named:
            self.name, self.named = name, True
            self.provider = (text(payload.get("model_provider")) or self.provider).lower()
        source = payload.get("source")
        parents = [name, payload.get("forked_from_id"), payload.get("parent_thread_id"), _spawner(source)]
        for parent in parents:
            if isinstance(parent, str) and parent:
                self.memory.join(self.name, parent)

    def context(self, payload: Row) -> None:
        """The model and tier from here on."""
        settings = payload.get("thread_settings")
        for stated in (payload, settings if isinstance(settings, dict) else {}):
            self.model = text(stated.get("model")) or self.model
            self.tier = text(stated.get("service_tier")) or self.tier

    def count(self, row: _Line, info: Row) -> Usage | None:
        """The usage of one `token_count` event; None for a repetition."""
        total, last = (_counts(info.get(name)) for name in ("total_token_usage", "last_token_usage"))
        before, self.total = self.total, total or self.total
        if total is None and last is None:
            return None
        if total is not None and total == before:
            return None
        if last is None and total is not None:
            grown = before is not None and all(total[name] >= before[name] for name in _FIELDS)
            last = {name: total[name] - (before[name] if before and grown else 0) for name in _FIELDS}
        assert last is not None
        if total is not None:
            family = self.memory.root(self.name)
            if not self.memory.add(family, *total.values(), *last.values()):
                return None
        uncached = rest(
            last["input_tokens"], "input_tokens",
            cached=last["cached_input_tokens"], written=last["cache_write_input_tokens"],
        )  # fmt: skip
        counts = meters(
            input=uncached,
            cache_read=last["cached_input_tokens"],
            cache_write=last["cache_write_input_tokens"],
            output=last["output_tokens"],
            reasoning=last["reasoning_output_tokens"],
        )
        return Usage(
            at=instant(row.timestamp),
            quantities=counts,
            provider=self.provider,
            model_asked=text(info.get("model")) or self.model,
            tier_asked=self.tier,
            session=self.name,
            feature="codex",
        )


def _spawner(source: Any) -> object:
    for name in ("subagent", "thread_spawn", "parent_thread_id"):
        source = source.get(name) if isinstance(source, dict) else None
    return source


def _counts(stated: object) -> dict[str, int] | None:
    if stated is None:
        return None
    if not isinstance(stated, dict):
        raise BadRow("the token count is not an object", kind="unexpected shape")
    return {name: whole(stated, name) for name in _FIELDS}


def _decode(stream: BinaryIO, place: str, problems: Problems, memory: Memory) -> Iterator[Usage]:
    session = _Session(place, memory)
    for number, line in numbered_lines(stream, place, problems):
        try:
            row = _decode_line(line)
            told = not is_absent(row.payload) and any(word in line for word in _TOLD)
            payload = decode_json(row.payload) if told else None
        except msgspec.ValidationError as fault:
            reason = f"not an event of this log: {fault}"
            problems.add(f"{place}:{number}", reason, "mend or remove the line", "unexpected shape")
            continue
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            broken_json(problems, f"{place}:{number}", fault)
            continue
        if row.type is None:
            problems.add(f"{place}:{number}", "not an event of this log: it has no type", kind="unexpected shape")
            continue
        if not isinstance(payload, dict):
            continue
        if row.type == "session_meta":
            session.meta(payload)
        elif row.type == "turn_context" or payload.get("type") in ("thread_settings", "thread_settings_applied"):
            session.context(payload)
        elif row.type == "event_msg" and payload.get("type") == "token_count":
            info = payload.get("info")
            if not isinstance(info, dict):
                continue  # only rate limits
            try:
                usage = session.count(row, info)
            except BadRow as bad:
                problems.add(f"{place}:{number}", str(bad), bad.repair, bad.kind)
                continue
            if usage is not None:
                yield usage


READER = Reader(
    name="codex",
    title="Codex CLI rollout log (JSONL)",
    containment="input_tokens includes cached_input_tokens (and cache writes), output_tokens includes "
    "reasoning_output_tokens: cached and written tokens are subtracted from the input, reasoning stays in the output.",
    sniff=_sniff,
    decode=_decode,
)
