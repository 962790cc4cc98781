import pytest

from farthing.gateway.breaker import Breaker
from farthing.gateway.config.values import Alias, Served
from farthing.gateway.config.values import Breaker as Rule
from farthing.gateway.config.values import Upstream as Settings
from farthing.gateway.metering import Surface
from farthing.gateway.problem import Problem
from farthing.gateway.routes import Routes, split_target, surface_at
from farthing.gateway.upstream import Upstream

CHAT = frozenset({"chat/completions", "embeddings"})
MESSAGES = frozenset({"messages", "messages/count_tokens"})


def upstream(name: str, surfaces=CHAT, **more) -> Upstream:
    protocol = "anthropic" if surfaces is MESSAGES else "openai"
    settings = Settings(
        name=name, provider=name, protocol=protocol, url="http://127.0.0.1:1", surfaces=surfaces, **more
    )
    return Upstream(settings, Breaker(Rule()))


def routes(*upstreams: Upstream, aliases=(), priced=()) -> Routes:
    return Routes({one.name: one for one in upstreams}, aliases, lambda up, model: (up.name, model) in priced)


def test_the_only_upstream_takes_any_name():
    assert routes(upstream("vllm")).targets("whatever/model", Surface.CHAT) == ("vllm/whatever/model",)


def test_a_name_that_begins_with_an_upstream_goes_there():
    found = routes(upstream("openai"), upstream("groq")).targets("groq/meta/llama-3", Surface.CHAT)
    assert found == ("groq/meta/llama-3",)
    assert split_target(found[0]) == ("groq", "meta/llama-3")


def test_of_several_the_ones_that_list_it_then_the_one_whose_provider_has_a_price():
    listed = routes(upstream("a"), upstream("b", models=("llama*",)), upstream("c", models=("llama-3",)))
    assert listed.targets("llama-3", Surface.CHAT) == ("c/llama-3", "b/llama-3")  # the exact name first
    priced = routes(upstream("a"), upstream("b"), priced={("b", "gpt-4o")})
    assert priced.targets("gpt-4o", Surface.CHAT) == ("b/gpt-4o",)
    named = routes(upstream("a"), upstream("b", served=(Served(name="mine"),), models=()))
    assert named.targets("mine", Surface.CHAT) == ("b/mine",)


def test_an_alias_names_its_targets_and_a_star_is_the_name_that_was_asked_for():
    aliases = (Alias(name="fast", targets=("a/x", "b/y")), Alias(name="claude-*", targets=("b/*",)))
    found = routes(upstream("a"), upstream("b"), aliases=aliases)
    assert found.targets("fast", Surface.CHAT) == ("a/x", "b/y")
    assert found.targets("claude-3", Surface.CHAT) == ("b/claude-3",)


def test_targets_that_cannot_answer_the_surface_are_left_out():
    aliases = (Alias(name="any", targets=("a/x", "b/y")),)
    found = routes(upstream("a"), upstream("b", MESSAGES), aliases=aliases)
    assert found.targets("any", Surface.EMBEDDINGS) == ("a/x",)
    assert found.targets("any", Surface.MESSAGES) == ("a/x", "b/y")  # a by translation
    assert surface_at(upstream("a"), Surface.MESSAGES) is Surface.CHAT
    assert surface_at(upstream("b", MESSAGES), Surface.CHAT) is Surface.MESSAGES
    with pytest.raises(Problem) as problem:
        found.targets("b/y", Surface.EMBEDDINGS)
    assert problem.value.status == 404 and "embeddings" in problem.value.message


def test_what_nobody_serves_is_404_and_without_upstreams_the_answer_says_what_to_do():
    with pytest.raises(Problem) as problem:
        routes(upstream("a"), upstream("b")).targets("gpt-4o", Surface.CHAT)
    assert (problem.value.status, problem.value.code) == (404, "model_not_found")
    assert "a, b" in problem.value.message
    with pytest.raises(Problem) as problem:
        routes().targets("gpt-4o", Surface.CHAT)
    assert problem.value.status == 503 and "--local" in problem.value.message


def test_names_are_remembered_but_not_without_end():
    found = routes(upstream("a"))
    for number in range(10_000):
        found.targets(f"model-{number}", Surface.CHAT)
    assert len(found._known) <= 4096


def test_a_name_with_a_slash_that_is_listed_is_not_taken_for_an_upstreams_prefix():
    found = routes(upstream("openai", models=("gpt-*",)), upstream("groq", models=("openai/gpt-oss-120b", "llama*")))
    assert found.targets("openai/gpt-oss-120b", Surface.CHAT) == ("groq/openai/gpt-oss-120b",)
    assert found.targets("openai/gpt-4o", Surface.CHAT) == ("openai/gpt-4o",)
    assert found.targets("openai/brand-new", Surface.CHAT) == ("openai/brand-new",)  # said so plainly
