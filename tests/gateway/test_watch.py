import asyncio

import pytest

from farthing.gateway.watch import Watch, watched


async def wait_under(watch: Watch, what: asyncio.Future) -> str:
    """What the watch ended the wait for, "" where it did not."""
    try:
        await what
    except asyncio.CancelledError:
        late = watch.late
        if not late:
            raise
        return late
    finally:
        watch.rest()
    return ""


def run(work):
    return asyncio.run(work())


def test_ends_a_wait_that_takes_too_long_and_takes_the_cancellation_back():
    async def work():
        watch = watched(10)
        watch.expect("the first byte", 0.02)
        assert await wait_under(watch, asyncio.get_running_loop().create_future()) == "the first byte"
        await asyncio.sleep(0)  # the task goes on
        assert asyncio.current_task().cancelling() == 0
        assert watch.late == ""

    run(work)


def test_signs_of_life_put_it_off():
    async def work():
        loop, watch = asyncio.get_running_loop(), watched(10)
        watch.expect("a piece", 0.2)
        for _ in range(8):  # 0.4 s in all, never 0.2 s without one
            done = loop.create_future()
            loop.call_later(0.05, done.set_result, None)
            await done
            watch.alive()
        assert await wait_under(watch, loop.create_future()) == "a piece"

    run(work)


def test_the_deadline_counts_whatever_is_expected():
    async def work():
        watch = watched(0.03)
        watch.expect("the answer", 60)
        assert "within the request's time" in await wait_under(watch, asyncio.get_running_loop().create_future())

    run(work)


def test_a_paused_watch_heeds_only_the_deadline():
    async def work():
        loop, watch = asyncio.get_running_loop(), watched(0.15)
        watch.expect("a piece", 0.01)
        watch.paused = True
        begun = loop.time()
        assert await wait_under(watch, loop.create_future())
        assert loop.time() - begun > 0.1

    run(work)


def test_anothers_cancellation_stays_a_cancellation():
    async def work():
        async def inner():
            watch = watched(10)
            watch.expect("the answer", 5)
            await wait_under(watch, asyncio.get_running_loop().create_future())

        task = asyncio.ensure_future(inner())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work)


def test_rest_ends_the_waiting():
    async def work():
        watch = watched(10)
        watch.expect("the answer", 0.01)
        watch.rest()
        await asyncio.sleep(0.03)
        assert asyncio.current_task().cancelling() == 0
        watch.expect("another answer", 0.02)  # the timer of before has gone off meanwhile
        assert await wait_under(watch, asyncio.get_running_loop().create_future()) == "another answer"

    run(work)


def test_a_later_expectation_keeps_the_timer_and_an_earlier_one_moves_it():
    async def work():
        loop, watch = asyncio.get_running_loop(), watched(10)
        watch.expect("the body", 0.05)
        watch.expect("the answer", 0.15)  # the timer goes off at 0.05, and finds that there is time
        begun = loop.time()
        assert await wait_under(watch, loop.create_future()) == "the answer"
        assert loop.time() - begun > 0.1
        watch.expect("the answer", 5)
        watch.expect("a piece", 0.02)
        assert await wait_under(watch, loop.create_future()) == "a piece"
        watch.end()

    run(work)


def test_nothing_comes_after_the_end():
    async def work():
        watch = watched(10)
        watch.expect("the answer", 0.01)
        watch.end()
        await asyncio.sleep(0.03)
        assert asyncio.current_task().cancelling() == 0

    run(work)
