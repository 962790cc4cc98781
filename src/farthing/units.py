"""The registry of meters: what can be consumed, in which unit, and the scale prices are published at.

Meters are disjoint: a token is counted under exactly one of them. (`reasoning` alone is an "of
which": it says how many of the `output` tokens were reasoning.) A rate card may state a price for a
broad meter only; `covered_by` names the broader meter whose price then applies. There is no
`covered_by` from a cached kind to `input`, nor from a longer time-to-live to the default one:
those have prices of their own, and where nobody stated one the charge is unknown.
"""

import msgspec

MICRO = 1_000_000


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of consumption.

    `per`: the number of units that a published price is for (1,000,000 tokens, 1,000 calls, 3,600 s).
    `scale`: counts are kept as integers of 1/scale of the unit (1 for tokens, 1,000,000 for seconds).
    `prompt`: counts towards the prompt length that context tiers measure.
    """

    name: str
    unit: str
    per: int
    what: str
    direction: str = ""
    modality: str = "text"
    covered_by: str = ""
    part_of: str = ""
    scale: int = 1
    prompt: bool = False


def _tokens() -> list[Meter]:
    meters = []
    kinds = [("input", "", "tokens read without a cache"), ("cache_read", "", "tokens read from a prompt cache")]
    kinds += [("cache_write", "", "tokens written to a prompt cache, for the provider's default time-to-live")]
    for ttl, cover in (("5m", "cache_write"), ("30m", "cache_write"), ("1h", ""), ("12h", ""), ("24h", "")):
        kinds.append((f"cache_write_{ttl}", cover, f"tokens written to a prompt cache for {ttl}"))
    kinds.append(("cache_read_explicit", "cache_read", "tokens read from a cache that was created by name"))
    for name, cover, what in kinds:
        meters.append(
            Meter(name=name, unit="token", per=MICRO, what=what, direction="input", covered_by=cover, prompt=True)
        )
    for modality in ("audio", "image", "video"):
        for kind in ("input", "cache_read", "cache_write"):
            meters.append(
                Meter(
                    name=f"{kind}_{modality}",
                    unit="token",
                    per=MICRO,
                    what=f"{modality} tokens: {kind.replace('_', ' ')}",
                    direction="input",
                    modality=modality,
                    covered_by=kind,
                    prompt=True,
                )
            )
    meters.append(
        Meter(name="input_tool", unit="token", per=MICRO, what="prompt tokens added by a built-in tool",
              direction="input", covered_by="input", prompt=True)
    )  # fmt: skip
    meters.append(Meter(name="output", unit="token", per=MICRO, what="tokens generated", direction="output"))
    meters.append(
        Meter(name="reasoning", unit="token", per=MICRO, what="of the output tokens, those spent on reasoning",
              direction="output", covered_by="output", part_of="output")
    )  # fmt: skip
    for modality in ("audio", "image", "video"):
        meters.append(
            Meter(name=f"output_{modality}", unit="token", per=MICRO, what=f"{modality} tokens generated",
                  direction="output", modality=modality, covered_by="output")
        )  # fmt: skip
    meters.append(
        Meter(name="output_citation", unit="token", per=MICRO, what="citation tokens", direction="output",
              covered_by="output")
    )  # fmt: skip
    meters.append(Meter(name="training", unit="token", per=MICRO, what="tokens trained on (fine-tuning)"))
    return meters


def _others() -> list[Meter]:
    def one(name: str, unit: str, per: int, what: str, **more: object) -> Meter:
        return msgspec.convert({"name": name, "unit": unit, "per": per, "what": what, **more}, Meter)

    seconds = {"scale": MICRO}
    return [
        one("requests", "request", 1000, "requests, where a request has a price of its own"),
        one("web_search", "call", 1000, "web searches by a built-in tool"),
        one("file_search", "call", 1000, "searches of stored files by a built-in tool"),
        one("social_search", "call", 1000, "searches of a social network by a built-in tool"),
        one("maps_search", "call", 1000, "grounding calls on a map"),
        one("code_session", "session", 1, "code-execution sessions (containers)"),
        one("code_execution", "call", 1000, "code executions by a built-in tool"),
        one("tool_call", "call", 1000, "calls of any other built-in tool"),
        one("rerank_search", "query", 1000, "rerank searches"),
        one("query", "query", 1, "queries of any other kind"),
        one("message", "message", 1000, "text messages of a realtime session"),
        one("guardrail_unit", "unit", 1, "units checked by a guardrail"),
        one("image", "image", 1, "images generated", modality="image", direction="output"),
        one("input_image_count", "image", 1, "images read", modality="image", direction="input"),
        one("pixel", "pixel", 10**9, "pixels generated", modality="image", direction="output"),
        one("input_pixel", "pixel", 10**9, "pixels read", modality="image", direction="input"),
        one("step", "step", 1, "diffusion steps", modality="image"),
        one("video", "video", 1, "videos generated", modality="video", direction="output"),
        one("page", "page", 1000, "document pages read", direction="input"),
        one("annotated_page", "page", 1000, "document pages read with annotation", direction="input"),
        one("character", "character", MICRO, "characters read (or spoken)", direction="input"),
        one("output_character", "character", MICRO, "characters generated", direction="output"),
        one("audio_second", "second", 3600, "seconds of audio, read or generated", modality="audio", **seconds),
        one("input_audio_second", "second", 3600, "seconds of audio read", modality="audio", direction="input",
            covered_by="audio_second", **seconds),
        one("output_audio_second", "second", 3600, "seconds of audio generated", modality="audio", direction="output",
            covered_by="audio_second", **seconds),
        one("input_video_second", "second", 1, "seconds of video read", modality="video", direction="input", **seconds),
        one("video_second", "second", 1, "seconds of video generated", modality="video", direction="output", **seconds),
        one("compute_second", "second", 1, "seconds of a machine that serves the request", **seconds),
        one("provisioned_hour", "unit-hour", 1, "hours of one unit of provisioned capacity", **seconds),
        one("gpu_hour", "GPU-hour", 1, "hours of one rented GPU", **seconds),
        one("hosting_hour", "hour", 1, "hours that a fine-tuned model is hosted", **seconds),
        one("cache_token_hour", "token-hour", MICRO, "tokens kept in an explicit cache for an hour", **seconds),
        one("storage_gb_day", "GB-day", 1, "gigabytes kept for a day", **seconds),
        one("credit", "credit", 1, "credits of a provider's own account", **seconds),
        one("dbu", "DBU", 1, "Databricks units", **seconds),
        one("seat_month", "seat-month", 1, "one seat of a subscription for a month", **seconds),
        one("purchase", "item", 1, "one machine or part, bought"),
    ]  # fmt: skip


METERS: dict[str, Meter] = {meter.name: meter for meter in [*_tokens(), *_others()]}
"""Every meter by name, tokens first, in the order in which lines are printed."""

ORDER = {name: position for position, name in enumerate(METERS)}
PROMPT_METERS = tuple(name for name, meter in METERS.items() if meter.prompt)
TOKEN_METERS = tuple(name for name, meter in METERS.items() if meter.unit == "token" and not meter.part_of)
CACHE_WRITES = tuple(name for name in METERS if name.startswith("cache_write"))
CACHE_READS = tuple(name for name in METERS if name.startswith("cache_read"))


def meter(name: str) -> Meter:
    """The meter called `name` ("cache-read" and "cache_read" are the same).

    Raises `ValueError` naming the nearest known meter.
    """
    found = METERS.get(name.replace("-", "_"))
    if found is None:
        import difflib

        near = difflib.get_close_matches(name, METERS, 1)
        raise ValueError(f"unknown meter {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return found
