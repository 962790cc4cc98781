"""One replica, prepared: its terms worked out once, so that a step, or a point under a load, is quickly found."""

from farthing.serving import hosts
from farthing.serving.coefficients import Fit, choose, months_of, packaged, tags_of
from farthing.serving.deployment import Deployment
from farthing.serving.figures import Number, figures
from farthing.serving.physics import Pick, decode_s, first_token_s, prompt_s, terms, token_s

_BUSY_SEQUENCES = 256  # a step full of prompt tokens draws what one of so many sequences does


class Replica:
    """A replica of `deployment` under the coefficients of `fit`: a `StepModel`, and closed forms.

    `scale`: a factor on every step (a group's measured correction). `values`: coefficients to use in place of
    the fit's own (a calibration). Raises nothing: whether the deployment fits is asked of it (`kv_tokens`).
    """

    def __init__(
        self, deployment: Deployment, fit: Fit | None = None, values: dict[str, float] | None = None,
        scale: float = 1.0,
    ) -> None:  # fmt: skip
        fit = fit or packaged()
        chosen = choose(fit, values or fit.values(), tags_of(deployment, fit), months=months_of(deployment, fit))
        self.deployment = deployment
        self.terms = terms(figures(deployment), chosen)
        self.scale = scale
        self.gpus = deployment.gpus
        self._watts: dict[int, float] = {}
        self.token_budget = deployment.chunk
        self.max_sequences = deployment.max_sequences
        per_token = deployment.kv_bytes(4096) / 4096
        room = deployment.kv_room_bytes
        self.kv_tokens = int(room / max(per_token, 1e-9)) * deployment.dp if room > 0 else 0

    def step_s(self, prompt_tokens: float, prompt_pairs: float, sequences: float, context: float) -> float:
        """Seconds of one step; see `StepModel.step_s`."""
        t = self.terms
        parts = min(t.pp, max(sequences, 1.0))  # a sequence is not divided among stages, nor among ranks
        new, sequences, context = prompt_tokens / t.pp, sequences / parts, context / parts
        idle = t.ranks / min(t.ranks, max(sequences, 1.0))
        tokens, rank = new + sequences, sequences / t.ranks * idle
        time = max(t.dense_read, t.dense_decode * rank + t.dense_prompt * new)
        time += max(t.head_read, t.head_decode * rank)
        touched = t.experts * (1.0 - t.untouched**tokens)
        time += t.imbalance * max(t.expert_read * touched, t.expert_decode * sequences + t.expert_prompt * new)
        windowed = min(context, sequences * t.window)
        kv = context * t.kv_read + windowed * t.kv_window + sequences * t.state
        time += max(kv, context * t.kv_flop) * idle
        pairs = prompt_pairs / t.pp
        time += pairs * t.pair + min(pairs, new * t.window) * t.window_pair
        time += t.comm_step + t.comm_token * tokens + t.overhead + t.rank_token * sequences * idle
        return float(time * t.speed * self.scale)

    def watts(self, prompt_tokens: float, sequences: float) -> float:
        """Mean draw of the replica's boards during a step; see `StepModel.watts`."""
        busy = min(_BUSY_SEQUENCES, int(sequences + prompt_tokens))
        watts = self._watts.get(busy)
        if watts is None:
            watts = self._watts[busy] = hosts.draw_w(self.deployment.device, busy) * self.gpus
        return watts

    def point(
        self, input: Number, output: Number, asked: Number, batch: Number, prefix_hit: Number = 0.0,
        largest: Pick = max, least: Pick = min,
    ) -> tuple[Number, Number, Number, Number]:  # fmt: skip
        """TPOT, TTFT, one request's prompt and one decode step, in seconds, with `batch` of `asked` requests running.

        The prompt and the step are machine time: of `pp` stages each works on another prompt, so one takes 1/pp
        of what it takes to pass them all. By the formulas alone; on floats, or on arrays with numpy's `maximum`
        and `minimum`. `prefix_hit`: the share of the prompt found in a cache: not computed, still read.
        """
        t = self.terms
        speculation = self.deployment.speculation
        context = batch * (input + output / 2.0)
        if speculation is None:
            step = decode_s(t, batch, batch, context, largest, least)
        else:
            # A step verifies γ + 1 tokens a sequence after γ drafts, and yields `per_step` of them.
            verify = decode_s(t, batch * (speculation.tokens + 1), batch, context, largest, least)
            draft = speculation.tokens * speculation.draft * decode_s(t, batch, batch, context, largest, least)
            step = (verify + draft) / speculation.per_step
        found = input * prefix_hit
        prompt = prompt_s(t, input - found, found, least)
        per_token = token_s(t, step, prompt, batch, output, largest)
        first = first_token_s(t, prompt, per_token, asked, batch, output, largest)
        return per_token, first, prompt / t.pp * t.speed, step


def prepared(deployment: Deployment) -> Replica:
    """The replica of `deployment` under the packaged fit, worked out once for each deployment object."""
    kept = deployment.__dict__
    if "_replica" not in kept:
        kept["_replica"] = Replica(deployment)
    replica: Replica = kept["_replica"]
    return replica
