"""Token buckets: never more than the rule says, for any order of requests."""

from hypothesis import given
from hypothesis import strategies as st

from aether.model.origins import network_of
from aether.slice_api.route_options import RateLimit
from aether.web.rate import TokenBuckets, key_of

steps = st.lists(st.tuples(st.sampled_from("ab"), st.floats(min_value=0, max_value=5)), max_size=60)


@given(steps, st.integers(1, 5), st.floats(min_value=0.5, max_value=10))
def test_in_any_span_no_more_pass_than_the_burst_and_what_was_refilled(steps, count, per_s):
    buckets = TokenBuckets(RateLimit(count, per_s))
    now, passed = 0.0, {"a": [], "b": []}
    for key, wait in steps:
        now += wait
        given = buckets.take(key, now)
        if given.allowed:
            passed[key].append(now)
        else:
            assert buckets.take(key, now).wait_s > 0
    for times in passed.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                span_s = times[last] - times[first]
                assert last - first + 1 <= count + span_s * count / per_s + 1e-6


def test_what_is_left_and_when_there_is_more_is_told():
    buckets = TokenBuckets(RateLimit(2, 10))
    assert [buckets.take("a", 0.0) for _ in range(3)] == [(True, 1, 0.0), (True, 0, 5.0), (False, 0, 5.0)]
    assert buckets.headers(buckets.take("a", 1.0)) == {
        "RateLimit-Policy": '"route";q=2;w=10',
        "RateLimit": '"route";r=0;t=4',
    }
    assert buckets.take("b", 1.0).allowed
    assert buckets.take("a", 5.0).allowed
    assert not buckets.take("a", 0.0).allowed, "time that goes backwards refills nothing"


def test_clients_that_come_and_go_are_forgotten():
    buckets = TokenBuckets(RateLimit(1, 60), keys_max=3)
    for number in range(100):
        assert buckets.take(str(number), 0.0).allowed
    assert len(buckets) == 3
    assert not buckets.take("99", 0.0).allowed
    assert buckets.take("0", 0.0).allowed


def test_a_client_of_ipv6_is_one_client_whichever_of_its_addresses_it_asks_from():
    assert key_of("2001:db8::1", "") == key_of("2001:db8::ffff:2", "")
    assert key_of("2001:db8::1", "") != key_of("2001:db8:0:1::1", "")
    assert key_of("fe80::1%eth0", "") == key_of("fe80::2%eth1", "")


def test_clients_of_ipv4_are_not_one_client_on_a_socket_for_both_families():
    assert network_of("::ffff:198.51.100.7") == network_of("198.51.100.7")
    assert network_of("::ffff:198.51.100.7") != network_of("::ffff:203.0.113.9")
