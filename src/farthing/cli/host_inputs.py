"""The options that the `host` commands share, and the deployment and load that they state."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.serving.hosted import Hosted

_DIGITS = 18  # of an amount, before or after the point
Text = str | None
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A model (llama-3.1-70b) or its config.json.")]
Device = Annotated[Text, typer.Option(metavar="D", help="Device, such as h100-sxm, b200 or rtx-4090.")]
Count = Annotated[int | None, typer.Option(metavar="N", min=1, help="Devices in all; none: the fewest that hold it.")]
Engine = Annotated[str, typer.Option(metavar="E", help="vllm, sglang or trtllm.")]
Weights = Annotated[Text, typer.Option(metavar="F", help="bf16, fp8, int8, int4, fp4; none: the checkpoint's own.")]
Kv = Annotated[str, typer.Option(metavar="F", help="Format of the KV cache: bf16 or fp8.")]
Tp = Annotated[int | None, typer.Option(metavar="N", help="Tensor parallelism.")]
Pp = Annotated[int | None, typer.Option(metavar="N", help="Pipeline stages.")]
Ep = Annotated[int | None, typer.Option(metavar="N", help="Ranks that hold different experts.")]
Dp = Annotated[int | None, typer.Option(metavar="N", help="Copies of the attention, experts spread over all.")]
Chunk = Annotated[int | None, typer.Option(metavar="N", help="Tokens in one step at most (prompts are cut to it).")]
Concurrency = Annotated[float | None, typer.Option(metavar="C", help="Requests in flight.")]
PrefixHit = Annotated[float, typer.Option(metavar="H", help="Share of prompt tokens found in a prefix cache.")]
Rent = Annotated[Text, typer.Option("--usd-per-gpu-hour", metavar="X", help="Dollars a device-hour.")]
Own = Annotated[bool, typer.Option("--own", help="Owned: depreciation and electricity instead of a rent.")]
Region = Annotated[str, typer.Option(metavar="R", help="With --own: the grid region of the electricity.")]
Utilization = Annotated[float, typer.Option(metavar="U", help="Share of the paid hours in which the load is there.")]
DraftTokens = Annotated[int | None, typer.Option(metavar="N", help="Speculative decoding: tokens drafted a step.")]
Acceptance = Annotated[float | None, typer.Option(metavar="A", help="Share of the drafted tokens that are accepted.")]
Calibrated = Annotated[Path | None, typer.Option("--calibration", metavar="FILE", help="From `host calibrate`.")]
At = Annotated[Text, typer.Option("--at", metavar="DAY", help="The rent of which day.")]


def stated_of(options: dict[str, Any]) -> dict[str, str]:
    """The options of a deployment as `serving.hosted` takes them, those not given left out."""
    names = (
        "model", "device", "count", "engine", "weights", "kv", "tp", "pp", "ep", "dp", "chunk", "concurrency",
        "prefix_hit", "usd_per_gpu_hour", "utilization", "draft_tokens", "acceptance",
    )  # fmt: skip
    defaults = {"engine": "vllm", "kv": "bf16", "prefix_hit": 0.0, "utilization": 1.0}
    return {
        name: str(options[name])
        for name in names
        if options.get(name) is not None and options[name] != defaults.get(name)
    }


def deployment_of(options: dict[str, Any], name: str = "") -> "Hosted":
    """The deployment that the options state. Raises `FarthingError`."""
    from farthing.serving.hosted import hosted

    if not options.get("device"):
        raise FarthingError("--device is missing; such as --device h100-sxm")
    if (options.get("draft_tokens") is None) != (options.get("acceptance") is None):
        raise FarthingError("--draft-tokens and --acceptance go together")
    return hosted(name or f"{options['model']}@{options['device']}", stated_of(options))


def with_rent(one: "Hosted", usd: Decimal) -> "Hosted":
    """`one` at `usd` a device-hour, also when it is kept: what owning it costs is not asked again."""
    import msgspec

    stated = {**one.stated, "usd_per_gpu_hour": str(usd)}
    return msgspec.structs.replace(one, usd_per_gpu_hour=usd, stated=stated)


def dollars_of(options: dict[str, Any], device: str) -> tuple[Decimal, str, dict[str, Any]]:
    """Dollars a device-hour, whence in words, and in JSON: stated, owned, or the market's rent."""
    from farthing.cli.common import instant
    from farthing.money import decimal_text, parse_decimal

    stated = options.get("usd_per_gpu_hour")
    if stated is not None:
        if options.get("own"):
            raise FarthingError("state --usd-per-gpu-hour or --own, not both")
        try:
            usd = parse_decimal(stated)
        except ValueError:
            usd = Decimal(-1)
        if usd < 0 or (usd and abs(usd.adjusted()) > _DIGITS):
            raise FarthingError(f"--usd-per-gpu-hour {stated!r} is not an amount of dollars")
        return usd, "stated", {"kind": "stated", "usd_per_gpu_hour": str(usd)}
    if options.get("own"):
        from farthing.plans.hourly import owned_usd_per_gpu_hour

        found = owned_usd_per_gpu_hour(device, options.get("region") or "usa")
        says = f"owned: {found.low} to {found.high}; {found.grade}"
        return found.usd, says, {
            "kind": "owned", "usd_per_gpu_hour": str(found.usd), "low": str(found.low), "high": str(found.high),
            "grade": str(found.grade), "sources": [one.title for one in found.sources],
        }  # fmt: skip
    from farthing.serving import market

    moment = instant(options.get("at"))
    rent = market.rent(device, moment.date() if moment else None)
    usd = rent.usd_per_gpu_hour
    kind = "market index" if rent.kind == "index" else f"{rent.provider}'s offer"
    says = f"{kind} of {rent.valid_from}; {rent.source.grade}"
    return usd, says, {
        "kind": rent.kind, "usd_per_gpu_hour": decimal_text(usd), "provider": rent.provider,
        "valid_from": rent.valid_from.isoformat(), "grade": str(rent.source.grade), "source": rent.source.title,
    }  # fmt: skip


def dollars_or_none(
    options: dict[str, Any], device: str, *, needed: bool
) -> tuple[Decimal | None, str, dict[str, Any] | None]:
    """As `dollars_of`; but where nobody stated a rent, and none is `needed`: None, with what would state one."""
    from farthing.cli.common import instant
    from farthing.serving import market

    stated = needed or options.get("own") or options.get("usd_per_gpu_hour") is not None
    moment = instant(options.get("at"))
    if not stated and not market.rents(device, moment.date() if moment else date.max, "on-demand"):
        return None, f"no on-demand rent of {device} is known: state it with --usd-per-gpu-hour", None
    return dollars_of(options, device)


def today() -> "datetime":
    """Now, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
