"""What the meter gives back: what was asked, and what was served."""

from collections.abc import Mapping
from fractions import Fraction

import msgspec


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What metering and enforcement need to know of a request.

    `problem`: why the request cannot be taken, one line without any of its content; the other fields then hold their
    defaults. `max_output_tokens`: the stated limit of one answer, None where none is stated (the model's own then
    holds); `limit_is_new`: it is stated as `max_completion_tokens` alone, which not every upstream knows. `choices`:
    how many answers are asked for, of all prompts. `background`: the work goes on without the client. `stream_usage`:
    the client asked for usage in the stream. `other_models`: what the upstream may serve in the place of `model`.

    `prompt_tokens_bound`: the prompt is not longer, whatever the tokeniser (None: it cannot be bounded from the
    body); `prompt_tokens_estimate`: a likely size; `prompt_size_from` says how both were got, or why there is no bound.
    """

    # What every request says comes first: the path of all requests fills these in by their place.
    prompt_tokens_bound: int | None = None
    prompt_tokens_estimate: int = 0
    prompt_size_from: str = ""
    model: str = ""
    stream: bool = False
    max_output_tokens: int | None = None
    limit_is_new: bool = False
    choices: int = 1
    problem: str = ""
    other_models: tuple[str, ...] = ()
    stream_usage: bool = False
    background: bool = False
    tier: str = ""
    user: str = ""
    session: str = ""
    metadata: Mapping[str, str] = {}
    images: int = 0
    audio: int = 0
    documents: int = 0
    tools: int = 0


class Served(msgspec.Struct, frozen=True, gc=False):
    """What a provider's answer says was served.

    `quantities`: counts by meter in 1/scale units (see `units`), disjoint. `estimated`: they are not, or not all,
    what the provider stated. `unknown`: why the provider's own count is missing or cannot be true; with `estimated`
    the quantities are our estimate, without it what was consumed is unknown (it is never zero). `complete`: the
    answer came to its end. `reported_usd`: what the provider says it cost. `upstream`: who served it, behind an
    aggregator. `error`: the type or code of the error that the answer holds, never its message. `details`: counts
    that are no meter (parts of others, or free). `notes`: what else should be known, one line each.
    """

    # What nearly every answer says comes first: such answers fill these in by their place.
    quantities: Mapping[str, int] = {}
    id: str = ""
    model: str = ""
    tier: str = ""
    finish: str = ""
    tool_calls: int = 0
    region: str = ""
    estimated: bool = False
    unknown: str = ""
    complete: bool = True
    upstream: str = ""
    reported_usd: Fraction | None = None
    error: str = ""
    details: Mapping[str, int] = {}
    notes: tuple[str, ...] = ()
