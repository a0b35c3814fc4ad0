"""What was put last is kept, and no more than there is room for."""

from chalicelib.venues.pools.recent import Recent


def test_of_too_many_values_those_that_were_put_first_are_forgotten() -> None:
    kept: Recent[str, int] = Recent(2)
    assert kept.put("a", 1) == 1
    kept.put("b", 2)
    # From now on it is later than the other.
    kept.put("a", 3)
    kept.put("c", 4)
    assert [kept.get(key) for key in "abc"] == [3, None, 4]
