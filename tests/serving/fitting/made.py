"""Made-up measurements and rows of known truth, and the measured ones where they are at hand."""

from functools import cache
from pathlib import Path

from farthing.serving import devices, models
from farthing.serving.coefficients import packaged
from farthing.serving.deployment import Deployment
from farthing.serving.fitting.rows import Row, rows_of
from farthing.serving.measured.measurement import Latency, Measurement
from farthing.serving.measured.read import read_measurements

SAMPLE = Path(__file__).parents[4] / "shared" / "serving" / "silicon_sample.csv"


def measurement(**changes: object) -> Measurement:
    """A run of Llama 3.1 70B in 8 bit on four H100: 16 requests at once, 1,000 tokens in, 500 out."""
    given = {
        "format": "made", "source": "made:1", "engine": "vllm", "engine_version": "0.16.0",
        "model": "meta-llama/Llama-3.1-70B", "device": "h100-sxm", "precision": "fp8", "gpus": 4, "tp": 4,
        "input_tokens": 1_000.0, "output_tokens": 500.0, "concurrency": 16.0, "statistic": "mean",
        "ttft_ms": Latency(mean=200.0), "tpot_ms": Latency(mean=15.0),
    }  # fmt: skip
    return Measurement(**{**given, **changes})  # type: ignore[arg-type]


def row(concurrency: float = 16, into: float = 1_000, out: float = 500, **changes: object) -> Row:
    """A row of a deployment given by `changes` (model and device by their ids)."""
    given: dict[str, object] = {
        "model": "meta-llama/Llama-3.1-70B",
        "device": "h100-sxm",
        "weights": "fp8",
        "tp": 4,
        **changes,
    }
    given |= {"model": models.find(str(given["model"])), "device": devices.find(str(given["device"]))}
    return Row(
        source="made", deployment=Deployment(**given), version="1", input=into, output=out, concurrency=concurrency,  # type: ignore[arg-type]
        tpot_s=0.015, ttft_s=0.2, lockstep=False, drafted=False, day=None,
    )  # fmt: skip


def grid() -> list[Row]:
    """Some hundred rows of several models, devices, engines and loads, that all fit."""
    groups: list[dict[str, object]] = [
        {"engine": engine, "device": device, **more}
        for engine in ("vllm", "sglang", "trtllm")
        for device in ("h100-sxm", "b200-sxm")
        for more in (
            {"model": "meta-llama/Llama-3.1-70B", "weights": "fp8", "tp": 4},
            {"model": "meta-llama/Llama-3.1-8B", "weights": "bf16", "tp": 1},
            {"model": "openai/gpt-oss-120b", "weights": "fp4", "tp": 2, "ep": 2},
        )
    ]
    loads = [
        (1, 1_000, 1_000),
        (8, 1_000, 1_000),
        (64, 1_000, 1_000),
        (16, 8_000, 1_000),
        (16, 1_000, 8_000),
        (128, 300, 300),
    ]
    return [row(*load, **group) for group in groups for load in loads]


@cache
def measured() -> tuple[Row, ...]:
    """The rows of the shared sample."""
    return tuple(rows_of(read_measurements([str(SAMPLE)])[0], packaged())[0])
