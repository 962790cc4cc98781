"""The throughput of a replica from the serving model, where nobody measured it."""

from fractions import Fraction

from farthing.evidence import Grade, Source
from farthing.plans.hosting import Capacity
from farthing.plans.interval import Interval, exactly, from_physics
from farthing.problems import FarthingError
from farthing.serving.deployment import Deployment
from farthing.serving.estimate import Estimate, Load, estimate


def capacity(deployment: Deployment, load: Load) -> Capacity:
    """What one replica of `deployment` reads and writes a second, near `load` (tokens of a request, in flight).

    The estimate's throughput, divided by the parts of the machines' time that prompts and answers take:
    at the mix of `load` the two times add up to the estimate. Its 80 % interval is an error of both
    (`scale`). Raises `FarthingError` where it does not fit, with what would work.
    """
    found = estimate(deployment, load)
    if not found.feasible:
        raise FarthingError(found.why)
    if found.requests_per_s is None or not 0 < found.prompt_share < 1:
        raise FarthingError(f"no throughput can be estimated for {deployment.name}")
    rate, share, replicas = found.requests_per_s, found.prompt_share, deployment.replicas
    read = rate.value * load.input * (1 - load.prefix_hit) / share / replicas
    written = rate.value * load.output / (1 - share) / replicas
    return Capacity(
        input_tokens_s=exactly(from_physics(read)),
        output_tokens_s=exactly(from_physics(written)),
        scale=Interval(from_physics(rate.low / rate.value), Fraction(1), from_physics(rate.high / rate.value)),
        gpus=deployment.gpus,
        sources=(_source(deployment, found),),
    )


def _source(deployment: Deployment, found: Estimate) -> Source:
    says = found.basis.says if found.basis is not None else "no measurement"
    grade = Grade.parse(found.basis.grade) if found.basis is not None else Grade.ASSUMED
    return Source(
        id="estimate",
        title=f"Farthing's estimate of {deployment.name}, {found.batch:g} in flight: {says}",
        where="farthing.serving.estimate",
        seen=None,
        grade=grade,
    )
