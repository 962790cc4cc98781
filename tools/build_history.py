"""Build our history of list prices from package releases: `python tools/build_history.py WORK [--until D] [--pip PIP]`.

Fetches the releases into WORK (what is there stays; `--offline` fetches nothing), reads them as a series, judges what
changed, and writes data/history/PROVIDER.toml: facts with the source and the days between which each began. Prices that
vendors stated with a day (data/history/announced, data/prices/first-party.toml) decide first. With `--check` nothing is
written, and the exit status says whether the files would change.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from farthing.evidence import Source
from farthing.money import decimal_text
from farthing.rates.card import Offer
from farthing.rates.compare import maker
from farthing.rates.family import family
from farthing.rates.history import read_history
from farthing.rates.series.events import Judged, judged
from farthing.rates.series.read import read_series
from farthing.rates.series.runs import History
from farthing.rates.series.snapshot import Subject
from farthing.rates.series.timeline import State, timelines
from farthing.rates.series.verdict import power_of_ten
from farthing.rates.toml import load_card, packaged_cards
from history_releases import MANIFEST, PACKAGES, fetch

DATA = Path(__file__).parent.parent / "src" / "farthing" / "data" / "history"
KNOWN = Path(__file__).parent / "known_price_events.txt"
HEAD = "# Written by `python tools/build_history.py WORK`. Do not edit.\n"

PROVIDERS = (
    "openai", "anthropic", "google", "mistral", "cohere", "deepseek", "x-ai", "moonshotai", "minimax", "zai", "zhipuai",
    "dashscope", "meta_llama", "ai21", "perplexity", "voyageai", "jina_ai", "aws", "azure", "groq", "together",
    "fireworks", "deepinfra", "cerebras", "sambanova", "openrouter", "novita", "hyperbolic", "nebius", "anyscale",
    "replicate", "databricks", "friendliai", "baseten", "lambda_ai", "nscale", "wandb",
)  # fmt: skip
"""First parties, and the hosts that many use."""
MODES = ("", "chat", "completion", "responses", "embedding")
METERS = ("input", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "output")
TRUST = {"openrouter": ("genai-prices", "litellm")}
"""genai-prices reads OpenRouter's own list every week; LiteLLM's rows of it are edited by hand."""
_NO_TEXT = re.compile(r"flux-|stable-diffusion|sdxl|whisper|playground-v|controlnet|SSD-1B", re.IGNORECASE)
"""Makers of images and transcripts: LiteLLM lists those of some hosts as chat models."""
_GOOGLES = ("gemini", "text-", "textembedding", "chat-", "code-", "codechat-", "medlm")
_DEAREST = {"input": Decimal(199), "output": Decimal(700)}
"""More than any model was sold for: the dearest that we know cost 150 and 600 (o1-pro)."""
_CACHED_MOST = {
    "cache_read": Decimal("1.1"), "cache_write": Decimal("2.1"), "cache_write_5m": Decimal("1.5"),
    "cache_write_1h": Decimal("2.1"),
}  # fmt: skip
_CHARACTERS_UNTIL = date(2024, 12, 1)
_ENDED_DAYS = 60
"""A source whose last list is older than the newest of all by more has ended: of later days it says nothing."""
USUAL = ("litellm", "genai-prices", "langchain")
TITLES = {
    "litellm": ("LiteLLM's model prices as shipped", "https://github.com/BerriAI/litellm"),
    "tokencost": ("tokencost's copy of LiteLLM's model prices", "https://github.com/AgentOps-AI/tokencost"),
    "langchain": ("LangChain's table of OpenAI's prices", "https://github.com/langchain-ai/langchain"),
    "langchain-community": ("LangChain's table of OpenAI's prices", "https://github.com/langchain-ai/langchain"),
    "genai-prices": ("genai-prices catalogue", "https://github.com/pydantic/genai-prices"),
}


def main(arguments: list[str]) -> int:
    """Fetch, read, judge, write. 0, or 1 where `--check` finds a file that would change."""
    options = dict(zip(arguments, [*arguments[1:], ""], strict=True))
    folder = Path(arguments[0])
    until = date.fromisoformat(options.get("--until") or date.today().isoformat())
    if "--offline" not in arguments:
        for line in fetch(folder, until, [options["--pip"]] if "--pip" in options else [sys.executable, "-m", "pip"]):
            print(line, file=sys.stderr)
    # By manifest: what else lies in the folder is no part of it.
    series = read_series([m for p in PACKAGES if (m := folder / p.name / MANIFEST).exists()])
    dated = [offer for card in _stated() for offer in card]
    found = judged(series, dated)
    _tell(found)
    states = timelines(found, TRUST, USUAL, dated)
    texts = {f"{name}.toml": _file(name, states, found, dated) for name in PROVIDERS}
    texts = {name: text for name, text in texts.items() if text}
    for name, text in texts.items():
        read_history(text, name)
    old = {path.name: path.read_text("utf-8") for path in DATA.glob("*.toml")}
    changed = [name for name in sorted({*texts, *old}) if texts.get(name) != old.get(name)]
    for name in changed:
        if "--check" in arguments:
            print(f"{name} would change", file=sys.stderr)
        elif name in texts:
            (DATA / name).write_text(texts[name], "utf-8")
        else:
            (DATA / name).unlink()
    print(f"{len(texts)} files, {sum(map(len, texts.values())):,} bytes", file=sys.stderr)
    return 1 if changed and "--check" in arguments else 0


def _stated() -> Iterable[tuple[Offer, ...]]:
    for path in sorted((DATA / "announced").glob("*.toml")):
        yield load_card(path).offers
    yield packaged_cards()["first-party"].offers


def _tell(found: Judged) -> None:
    plain = [e for e in found.events if e.key.condition == "always" and e.key.meter in ("input", "output")]
    print("events:", dict(Counter(e.verdict for e in found.events)), file=sys.stderr)
    print("of token prices:", dict(Counter(e.verdict for e in plain)), file=sys.stderr)
    told = {(e.key.subject.provider, e.key.subject.model, e.key.meter, e.before, e.now): e.verdict for e in plain}
    known = [line.split() for line in KNOWN.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    hits = [
        (label, told.get((provider, model, meter, Decimal(before), Decimal(now)), "not seen"))
        for provider, model, meter, before, now, label in known
    ]
    for (label, verdict), times in sorted(Counter(hits).items()):
        print(f"known {label} judged {verdict}: {times}", file=sys.stderr)


# --- one file ----------------------------------------------------------------------------------


def _file(provider: str, states: Mapping[Subject, Sequence[State]], found: Judged, dated: Sequence[Offer]) -> str:
    """The history file of a provider; empty where nothing is known."""
    sources = {price.source.title: price.source for offer in dated for price in offer.prices}
    used: dict[str, Source | None] = {}
    lines = []
    for subject in sorted(s for s in states if s.provider == provider and not s.region and not _other_name(s)):
        mode = next((m for name in USUAL if (m := found.histories[name].modes.get(subject))), "")
        if mode not in MODES or _NO_TEXT.search(subject.model):
            continue
        meters = tuple(m for m in METERS if mode != "embedding" or m == "input")
        gone = _gone(subject, found.histories)
        kept = [s for s in _trusted(subject, states) if gone is None or s.start < gone]
        written = _lines(kept, meters, sources, used)
        if not written:
            continue
        head = ["@", subject.model, mode or "-"]
        head += [f"channel={subject.channel}"] if subject.channel != "direct" else []
        head += [f"gone={gone}"] if gone is not None else []
        lines += [" ".join(head), *written]
    if not lines:
        return ""
    tables = [_source(name, source) for name, source in sorted(used.items())]
    prices = "\n".join(lines)
    return f'{HEAD}\nprovider = "{provider}"\nprices = """\n{prices}\n"""\n\n' + "\n".join(tables)


def _other_name(subject: Subject) -> bool:
    """Names that repeat another offer: with a region in front, leading elsewhere, or fine-tuned."""
    model = subject.model
    regional = subject.provider == "aws" and model.split(".")[0] in (
        "us",
        "eu",
        "apac",
        "ap",
        "jp",
        "au",
        "global",
        "us-gov",
    )
    # OpenRouter's "~" names lead to whatever is the newest; ":batch" is a tier, and no model.
    leads = subject.provider == "openrouter" and (model.startswith("~") or model.endswith(":batch"))
    return regional or leads or model.startswith("ft:") or " " in model


def _trusted(subject: Subject, states: Mapping[Subject, Sequence[State]]) -> list[State]:
    """The states of `subject` without what cannot be right: prices of the time in which lists mixed Google's
    characters and tokens, slips beside the same model of its maker, outputs that cost less than half of inputs
    (swapped, or of another unit), and prices beyond all."""
    kept = [
        state for state in states[subject]
        if not (_upside_down(state) or _beyond_all(state) or _slipped(subject, state, states)
                or _by_character(subject, state, states))
    ]  # fmt: skip
    if subject.channel != "vertex" or not subject.model.startswith(_GOOGLES):
        return kept
    later = [s for s in kept if s.start >= _CHARACTERS_UNTIL]
    # What such a list said last is no price from which a later one can have moved.
    if later and len(later) < len(states[subject]):
        later[0] = msgspec.structs.replace(later[0], after=None)
    return later


def _by_character(subject: Subject, state: State, states: Mapping[Subject, Sequence[State]]) -> bool:
    """Whether a Google price is a quarter (or a quarter of that) of what another model of its line ever cost: by the
    character, of which four are a token."""
    line = "-".join(subject.model.split("-")[:3])
    if subject.provider != "google" or not line.startswith("gemini-") or not (own := _plain(state)):
        return False
    theirs = {
        plain for other, listed in states.items()
        if other.provider == "google" and other != subject and other.model.startswith(line)
        for one in listed if (plain := _plain(one))
    }  # fmt: skip
    return any((own[0] * times, own[1] * times) in theirs for times in (4, 16)) and own not in theirs


def _slipped(subject: Subject, state: State, states: Mapping[Subject, Sequence[State]]) -> bool:
    """Whether a cloud's offer costs what its maker's did at the time, but for a power of ten in one price or both."""
    name = family(subject.model)
    own, makers = _plain(state), maker(name)
    if subject.channel == "direct" or own is None or makers is None:
        return False
    for other, listed in states.items():
        if (other.provider, other.channel) == (makers, "direct") and family(other.model) == name:
            held = [one for one in listed if one.start <= state.start]
            theirs = _plain(held[-1]) if held else None
            powers = {0 if a == b else power_of_ten(a, b) for a, b in zip(own, theirs or own, strict=True)}
            if len(powers - {0}) == 1 and None not in powers:
                return True
    return False


def _plain(state: State) -> tuple[Decimal, Decimal] | None:
    """Input and output under no condition."""
    prices = [state.prices.get((meter, "always")) for meter in ("input", "output")]
    return (prices[0], prices[1]) if prices[0] is not None and prices[1] is not None else None


def _upside_down(state: State) -> bool:
    plain = _plain(state)
    return plain is not None and plain[1] * 2 < plain[0]


def _beyond_all(state: State) -> bool:
    return any(usd > _DEAREST[meter] for (meter, _), usd in state.prices.items() if meter in _DEAREST)


def _lines(
    states: Sequence[State], meters: Sequence[str], sources: Mapping[str, Source], used: dict[str, Source | None]
) -> list[str]:
    lines, before = [], ""
    for state in states:
        prices = [_priced(state.prices, meters, "always", ""), _priced(state.prices, meters, "tier batch", "batch.")]
        text = " ".join(word for words in prices for word in words)
        if not text or text == before or "input" not in text:
            continue
        before = text
        day = f"{state.after}<{state.start}" if state.after is not None else f"{state.start}"
        ref = _ref(state.ref, sources, used)
        lines.append(f"{day}{'' if state.sure else '?'} {text} {ref}")
    return lines


def _priced(prices: Mapping[tuple[str, str], Decimal], meters: Sequence[str], condition: str, prefix: str) -> list[str]:
    plain = prices.get(("input", condition))
    return [
        f"{prefix}{meter}={decimal_text(prices[meter, condition])}" for meter in meters
        if (meter, condition) in prices and not _of_another_unit(meter, prices[meter, condition], plain)
    ]  # fmt: skip


def _of_another_unit(meter: str, usd: Decimal, plain: Decimal | None) -> bool:
    """Whether a cached token costs more than its kind can: no vendor asks more than input for a read, or more than
    twice that (but for rounding) for a write. Lists have storage by the hour there, or another model's price."""
    most = _CACHED_MOST.get(meter)
    return plain is not None and most is not None and usd > most * plain


def _ref(ref: str, sources: Mapping[str, Source], used: dict[str, Source | None]) -> str:
    """The source as a line names it: a vendor's statement by its id, a release as "litellm@1.53.1"."""
    if ref in sources:
        used[sources[ref].id] = sources[ref]
        return sources[ref].id
    name, _, release = ref.partition(" ")
    used[name] = None
    return f"{name}@{release}" if release else name


def _source(name: str, source: Source | None) -> str:
    if source is not None:
        title, where, grade, seen = source.title, source.where, str(source.grade), source.seen
    else:
        title, where = TITLES[name]
        grade, seen = "derived", date(2026, 11, 22)
    escaped = title.replace("\\", "\\\\").replace('"', '\\"')
    return f'[source.{name}]\ntitle = "{escaped}"\nwhere = "{where}"\nseen = {seen}\ngrade = "{grade}"\n'


def _gone(subject: Subject, histories: Mapping[str, History]) -> date | None:
    """The first list without the offer, where no source lists it any longer; or the last list of one that ended."""
    newest = max(one.days[-1] for one in histories.values())
    ends = []
    for one in histories.values():
        if subject in one.seen:
            gone = one.seen[subject].gone
            if gone is None and (newest - one.days[-1]).days <= _ENDED_DAYS:
                return None
            ends.append(gone or one.days[-1])
    return max(ends)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
