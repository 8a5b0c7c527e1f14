"""Who holds the most seats: an exact count, whatever comes and goes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aether.model.origins import Origins

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=80)


@given(STEPS)
def test_counts_follow_a_naive_model(steps):
    origins: Origins[int] = Origins()
    seats: dict[int, str] = {}
    for number, (comes, which) in enumerate(steps):
        address = f"10.0.0.{which}"
        if comes:
            origins.add(number, address)
            seats[number] = address
        elif seats:
            gone = list(seats)[which % len(seats)]
            origins.drop(gone)
            origins.drop(gone)  # a second time is no change
            del seats[gone]
        counts = Counter(seats.values())
        most = max(counts.values(), default=0)
        assert (len(origins), origins.most) == (len(seats), most)
        greediest = list(origins.of_greediest())
        assert len(greediest) == most
        assert len({seats[seat] for seat in greediest}) <= 1
        assert greediest == sorted(greediest), "the oldest comes first"
        for host in range(7):
            newcomer = f"10.0.0.{host}"
            assert origins.held_by(newcomer) == counts[newcomer]
            assert origins.may_displace(newcomer) == (most >= counts[newcomer] + 2)


def test_one_network_of_ipv6_is_one_origin():
    """Its owner has a new address for every connection."""
    origins: Origins[str] = Origins()
    for number in range(3):
        origins.add(f"s{number}", f"2001:db8::{number}")
    origins.add("other", "2001:db8:0:1::1")
    assert (origins.held_by("2001:db8::ffff"), origins.most) == (3, 3)
