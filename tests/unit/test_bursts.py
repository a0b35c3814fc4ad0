"""A burst worked off in batches, by hand and by what holds for every burst."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.models.bursts import Batch, worked_off

# On a grid that floats hold exactly, so that equal moments are equal.
Moments = st.integers(0, 64).map(lambda eighths: eighths / 8)
Messages = st.lists(st.tuples(Moments, Moments), max_size=60)
Some = st.integers(1, 5)


def test_two_workers_that_take_pairs() -> None:
    # One comes to an idle worker and goes alone, as does the next. The third and the fifth wait for the first to be
    # free at 4; the fourth message of the list, which comes last, waits for whoever is free at 5.
    arrivals, seconds = [0.0, 1.0, 2.0, 3.5, 3.0], [4.0, 4.0, 1.0, 2.0, 3.0]
    assert worked_off(arrivals, seconds, 2, 2) == [
        Batch(0.0, 4.0, [0]),
        Batch(1.0, 5.0, [1]),
        Batch(4.0, 7.0, [2, 4]),
        Batch(5.0, 7.0, [3]),
    ]


def test_all_at_once_fill_the_batches() -> None:
    assert worked_off([0.0] * 5, [1.0, 2.0, 1.0, 1.0, 3.0], 2, 2) == [
        Batch(0.0, 2.0, [0, 1]),
        Batch(0.0, 1.0, [2, 3]),
        Batch(1.0, 4.0, [4]),
    ]


@given(Messages, Some, Some)
def test_every_burst(messages: list[tuple[float, float]], workers: int, most: int) -> None:
    arrivals, seconds = [came for came, _ in messages], [own for _, own in messages]
    batches = worked_off(arrivals, seconds, workers, most)
    places = list(chain.from_iterable(batch.messages for batch in batches))
    assert sorted(places) == list(range(len(messages)))
    assert [arrivals[place] for place in places] == sorted(arrivals)
    for batch in batches:
        assert 1 <= len(batch.messages) <= most
        assert max(arrivals[place] for place in batch.messages) <= batch.taken
        assert batch.ended - batch.taken == max(seconds[place] for place in batch.messages)
        # Of those that take no time, any number may pass through one worker in one moment.
        assert sum(other.taken <= batch.taken < other.ended for other in batches) <= workers


@given(Messages, Some, Some)
def test_nobody_waits_while_a_worker_is_free(messages: list[tuple[float, float]], workers: int, most: int) -> None:
    batches = worked_off([came for came, _ in messages], [own for _, own in messages], workers, most)
    for batch in batches:
        for came in (messages[place][0] for place in batch.messages):
            # Just before it was taken, all workers were busy ever since it came.
            for moment in {came, *(other.ended for other in batches if came <= other.ended < batch.taken)}:
                if moment < batch.taken:
                    assert sum(other.taken <= moment < other.ended for other in batches) == workers


@given(Messages, Some)
def test_with_a_worker_for_each_nobody_waits(messages: list[tuple[float, float]], most: int) -> None:
    batches = worked_off([came for came, _ in messages], [own for _, own in messages], max(1, len(messages)), most)
    assert all(batch.taken == messages[place][0] for batch in batches for place in batch.messages)
