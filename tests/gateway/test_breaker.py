from farthing.gateway.breaker import Breaker
from farthing.gateway.config.values import Breaker as Rule

RULE = Rule(failures=3, window_s=10.0, open_s=5.0)


def test_opens_after_so_many_failures_within_the_window():
    breaker = Breaker(RULE)
    for now in (0.0, 1.0):
        breaker.failed(now)
        assert not breaker.blocked(now)
    breaker.failed(2.0)
    assert breaker.blocked(2.0) and breaker.tripped
    assert breaker.blocked(6.9)


def test_failures_that_are_far_apart_do_not_open_it():
    breaker = Breaker(RULE)
    for now in (0.0, 6.0, 12.0, 18.0):  # never three within ten seconds
        breaker.failed(now)
        assert not breaker.blocked(now)


def test_a_success_forgets_failures():
    breaker = Breaker(RULE)
    breaker.failed(0.0)
    breaker.failed(0.1)
    breaker.succeeded()
    breaker.failed(0.2)
    assert not breaker.blocked(0.2)


def test_one_request_probes_and_others_wait_for_it():
    breaker = Breaker(RULE)
    for _ in range(3):
        breaker.failed(0.0)
    assert not breaker.blocked(5.0)  # the probe may go
    breaker.sent(5.0)
    assert breaker.blocked(5.1)  # but no other
    breaker.succeeded()
    assert not breaker.blocked(5.2) and not breaker.tripped


def test_a_probe_that_fails_opens_it_again_and_one_that_vanishes_lets_another_go():
    breaker = Breaker(RULE)
    for _ in range(3):
        breaker.failed(0.0)
    breaker.sent(5.0)
    breaker.failed(6.0)
    assert breaker.blocked(10.9)
    assert not breaker.blocked(11.0)
    breaker.sent(11.0)
    breaker.forget_probe()  # the client left: nothing was learnt
    assert not breaker.blocked(11.1)
    breaker.sent(11.1)  # never heard of again
    assert breaker.blocked(16.0)
    assert not breaker.blocked(16.2)
