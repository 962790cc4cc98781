"""Step models that a test can compute with: numbers that binary fractions hold exactly."""

from dataclasses import dataclass


@dataclass
class Affine:
    """constant + token x prompt tokens + pair x pairs + sequence x sequences + context x contexts."""

    kv_tokens: int = 10**9
    max_sequences: int = 256
    token_budget: int = 2048
    gpus: int = 1
    constant_s: float = 1.0
    token_s: float = 0.0
    pair_s: float = 0.0
    sequence_s: float = 0.0
    context_s: float = 0.0
    idle_w: float = 100.0
    busy_w: float = 300.0

    def step_s(self, prompt_tokens, prompt_pairs, sequences, context):
        return (
            self.constant_s
            + self.token_s * prompt_tokens
            + self.pair_s * prompt_pairs
            + self.sequence_s * sequences
            + self.context_s * context
        )

    def watts(self, prompt_tokens, sequences):
        return self.busy_w if prompt_tokens or sequences else self.idle_w


@dataclass
class Bent(Affine):
    """Contexts beyond `window` tokens a sequence cost nothing more: not affine."""

    window: int = 40

    def step_s(self, prompt_tokens, prompt_pairs, sequences, context):
        return super().step_s(prompt_tokens, prompt_pairs, sequences, min(context, self.window * sequences))


@dataclass
class Curved(Affine):
    """Time grows with the square root of the contexts: no lines at all."""

    def step_s(self, prompt_tokens, prompt_pairs, sequences, context):
        return super().step_s(prompt_tokens, prompt_pairs, sequences, context**0.5)
