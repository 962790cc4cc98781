"""What the tests of routing share: a chain of TOML text, an ask, a context, failures."""

from farthing.policies.routing import Ask, Chain, Context, Failure, read_chain
from farthing.rates.toml_table import Document


def chain(text: str) -> Chain:
    return read_chain(Document(text, "policy.toml").table())


def ask(request_id: str = "r-1", model: str = "gpt-5", **facts: object) -> Ask:
    return Ask(request_id=request_id, model=model, **facts)  # type: ignore[arg-type]


def at(
    *targets: str, failed: tuple[Failure, ...] = (), out: tuple[str, ...] = (), retries: int = 0, attempt: int = 0
) -> Context:
    return Context(
        attempt=attempt or len(failed) + 1, failed=failed, unavailable=frozenset(out), targets=targets, retries=retries
    )


def hit(target: str, status: int | None = 503, *, error: str = "", retryable: bool = True) -> Failure:
    return Failure(target=target, status=status, error=error, retryable=retryable)
