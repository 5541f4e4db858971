import random

from orchestrator.domain.replica import Replica, claimable, surplus


def other(held: int, *, ready: bool = True) -> Replica:
    return Replica("b", None, None, held, ready)


def test_who_is_alone_takes_everything() -> None:
    assert claimable(0, [], 1000) == 1000
    assert claimable(3, [other(5, ready=False)], 7) == 7


def test_two_who_start_together_take_half_each() -> None:
    assert claimable(0, [other(0)], 100) == 50
    assert claimable(0, [other(0), other(0)], 100) == 34


def test_who_has_more_than_its_share_leaves_what_is_free_to_the_others() -> None:
    assert claimable(20, [other(0)], 10) == 0
    assert claimable(0, [other(20)], 10) == 10


def test_whatever_happens_everything_is_taken_in_the_end() -> None:
    random.seed(4)
    for _ in range(200):
        held = [random.randrange(50) for _ in range(random.randrange(1, 6))]
        free = random.randrange(1, 100)
        while free:
            takes = [
                claimable(mine, [other(h) for j, h in enumerate(held) if j != i], free) for i, mine in enumerate(held)
            ]
            assert max(takes) > 0
            for i, take in enumerate(takes):
                taken = min(take, free)
                held[i] += taken
                free -= taken


def test_a_surplus_goes_to_those_who_have_room_and_never_back() -> None:
    assert surplus(20, []) == 0
    assert surplus(20, [other(0, ready=False)]) == 0
    assert surplus(20, [other(0)]) == 10
    assert surplus(11, [other(9)]) == 0
    assert surplus(100, [other(0), other(100)]) == 33
    for mine, theirs in ((20, 0), (21, 0), (100, 3), (7, 2)):
        moved = surplus(mine, [other(theirs)])
        assert surplus(theirs + moved, [other(mine - moved)]) == 0
