"""The names of LiteLLM's entries: provider, channel, region, model and selectors, taken apart.

`azure/eu/gpt-4o` is the model `gpt-4o` in region "eu"; `1024-x-1024/50-steps/bedrock/amazon.nova-canvas-v1:0`
is `amazon.nova-canvas-v1:0` for images of that size in 50 steps.
"""

import re

import msgspec

_PROVIDERS = {
    "text-completion-openai": ("openai", "direct"), "azure": ("azure", "azure"), "azure_text": ("azure", "azure"),
    "azure_ai": ("azure", "azure-ai"), "bedrock": ("aws", "bedrock"), "bedrock_converse": ("aws", "bedrock"),
    "bedrock_mantle": ("aws", "bedrock-mantle"), "sagemaker": ("aws", "sagemaker"), "aws_polly": ("aws", "polly"),
    "transcribe": ("aws", "transcribe"), "gemini": ("google", "direct"), "vertex_ai": ("google", "vertex"),
    "together_ai": ("together", "direct"), "fireworks_ai": ("fireworks", "direct"),
    "fireworks_ai-embedding-models": ("fireworks", "direct"), "xai": ("x-ai", "direct"),
    "moonshot": ("moonshotai", "direct"), "voyage": ("voyageai", "direct"), "cohere_chat": ("cohere", "direct"),
    "codestral": ("mistral", "direct"), "text-completion-codestral": ("mistral", "direct"),
    "text-completion-inception": ("inception", "direct"), "github_copilot": ("github-copilot", "direct"),
    "bigmodel": ("zhipuai", "direct"),
}  # fmt: skip
"""LiteLLM's provider to our provider id (that of genai-prices where it is the same firm) and channel."""

_SIZE = re.compile(r"(\d+)-x-(\d+)")
_STEPS = re.compile(r"(\d+|max)-steps")
_COMMITMENT = re.compile(r"\d+-month-commitment")
_AWS_REGION = re.compile(r"[a-z]{2}(-gov)?-[a-z]+-\d")
_AZURE_REGIONS = ("eu", "us", "global", "us-gov", "apac", "global-standard")
_QUALITIES = ("low", "medium", "high", "hd", "standard", "auto")
_IMAGE_MODES = ("image_generation", "image_edit")


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry's name says. `attrs` select among the prices of one model."""

    provider: str
    model: str
    channel: str = "direct"
    region: str | None = None
    attrs: frozenset[tuple[str, str]] = frozenset()


def provider_of(litellm_provider: str) -> tuple[str, str]:
    """Our provider id and channel for LiteLLM's provider name; an unlisted one keeps its name."""
    name = "vertex_ai" if litellm_provider.startswith("vertex_ai") else litellm_provider
    return _PROVIDERS.get(name, (name, "direct"))


def name_of(entry: str, litellm_provider: str, mode: str) -> Named:
    """The parts of the name `entry`. Leading segments that are not understood stay in the model's name."""
    provider, channel = provider_of(litellm_provider)
    region, attrs, prefixed = None, set(), False
    parts = entry.split("/")
    while len(parts) > 1:
        head = parts[0]
        if not prefixed and (head == litellm_provider or provider_of(head)[0] == provider):
            prefixed = True
        elif size := _SIZE.fullmatch(head):
            attrs.add(("size", f"{size.group(1)}x{size.group(2)}"))
        elif steps := _STEPS.fullmatch(head):
            attrs.add(("steps", steps.group(1)))
        elif head in _QUALITIES and mode in _IMAGE_MODES:
            attrs.add(("quality", head))
        elif provider == "aws" and _COMMITMENT.fullmatch(head):
            attrs.add(("commitment", head.removesuffix("-commitment")))
        elif provider == "aws" and (head == "*" or _AWS_REGION.fullmatch(head)):
            region = None if head == "*" else head
        elif provider == "aws" and head == "claude_platform":
            channel = "claude-platform"
        elif provider == "azure" and head in _AZURE_REGIONS:
            region = head
        else:
            break
        parts = parts[1:]
    model = "/".join(parts)
    return Named(provider=provider, model=model, channel=channel, region=region, attrs=frozenset(attrs))
