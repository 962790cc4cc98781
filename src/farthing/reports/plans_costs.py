"""What an account of hosting says of its machines: how large one is, and which costs were left at nothing."""

from farthing.plans.hosting import Hosting, Owned

_COSTS = {
    "staff_usd_per_month": "staff",
    "colocation_usd_per_kw_month": "a place for the machines",
    "capital_rate": "the cost of capital",
    "maintenance_share": "maintenance",
    "network_usd_per_month": "network",
}


def left_out(hosting: Hosting) -> list[str]:
    """The costs that this way of hosting has, but that were not stated."""
    stated = ((name, getattr(hosting, field, None)) for field, name in _COSTS.items())
    return [name for name, value in stated if value is not None and value.high == 0]


def machines(hosting: Hosting) -> str:
    """What one price of an owned machine buys, such as " in machines of 8 GPUs"; "" for rented GPUs."""
    if not isinstance(hosting, Owned):
        return ""
    return f" in machines of {hosting.unit_gpus:,} GPU{'' if hosting.unit_gpus == 1 else 's'}"


def about(hosting: Hosting) -> list[str]:
    """What a reader should know of one way of hosting: the size of a machine, and what is not counted."""
    size, absent = machines(hosting), left_out(hosting)
    said = [f"{hosting.name}:{size}"] if size else []
    return [*said, *([f"{hosting.name}: not stated, so not in it: {', '.join(absent)}"] if absent else [])]
