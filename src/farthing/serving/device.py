"""Devices: what one accelerator (or CPU server) can hold, move and compute, and what it draws."""

import msgspec

from farthing.evidence import Source


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device in one form factor. Rates are per second, dense (no sparsity), of one device.

    `memory_bytes`: what the driver reports. `flops`: operations per second by number format ("bf16",
    "fp8", "int8", "fp4"); a format that is absent computes as bf16. `link_bytes_s`: to the other
    devices of its scale-up domain of `link_devices`, one direction; `network_bytes_s`: beyond it, per
    device. `tdp_w`: board power of this form factor. `idle_w`: measured at rest, None: not stated.
    `figures`: the numbers that another source states than `source` ("memory", "bandwidth", "flops",
    "link", "network", "tdp", "idle").
    """

    id: str
    title: str
    vendor: str
    form: str
    memory_bytes: int
    bandwidth_bytes_s: float
    flops: dict[str, float]
    link_bytes_s: float
    link_devices: int
    network_bytes_s: float
    tdp_w: float
    source: Source
    idle_w: float | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""
    figures: dict[str, Source] = {}

    def flops_of(self, number_format: str) -> float:
        """Dense operations per second in `number_format`; formats without their own units compute as bf16."""
        return self.flops.get(number_format, self.flops["bf16"])

    def source_of(self, figure: str) -> Source:
        """Who states the number called `figure` ("memory", "bandwidth", "flops", "link", "network", "tdp", "idle")."""
        return self.figures.get(figure, self.source)
