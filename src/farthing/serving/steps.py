"""What a simulator and the closed forms need to know of a deployment: how long one engine step takes."""

from typing import Protocol


class StepModel(Protocol):
    """One replica of a deployment: the time of a step, and the room for contexts.

    `kv_tokens`: tokens of context that fit in memory at once; `max_sequences`: sequences that may run
    at once; `token_budget`: tokens (prompt chunks and decodes) in one step; `gpus`: devices of it.
    """

    kv_tokens: int
    max_sequences: int
    token_budget: int
    gpus: int

    def step_s(self, prompt_tokens: float, prompt_pairs: float, sequences: float, context: float) -> float:
        """Seconds of one step.

        It takes `prompt_tokens` tokens of prompts, which attend to `prompt_pairs` tokens in all (each new
        token to what stands before it in its own request), and decodes one token for each of
        `sequences` sequences, whose contexts are `context` tokens together. Affine in `context` and
        `prompt_pairs` while no window is passed; rises with every argument.
        """
        ...

    def watts(self, prompt_tokens: float, sequences: float) -> float:
        """Mean draw of all the replica's devices (boards only) during such a step, in watts."""
        ...
