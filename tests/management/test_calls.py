"""Calls through the admin API."""


async def test_a_call_is_carried_with_its_arguments(world):
    answer = await world.ask(
        "POST", "/call", {"slice": "Orders", "method": "place", "arguments": {"a": [1]}, "key": "k"}
    )

    assert answer.status == 200
    assert answer.json == {
        "artifact": "shop.orders:place-order",
        "method": "place",
        "revision": 7,
        "outcome": "done",
        "result": {"given": {"a": [1]}},
    }
    assert world.calls.asked == [("Orders", "place", {"a": [1]}, 30.0, "k")]


async def test_a_fault_is_no_failure_of_the_api(world):
    answer = await world.ask("POST", "/call", {"slice": "Orders", "method": "refuse", "deadlineSeconds": 2})

    assert (answer.status, answer.json["outcome"], answer.json["fault"]["name"]) == (200, "fault", "SoldOut")


async def test_arguments_that_are_no_object_are_refused(world):
    answer = await world.ask("POST", "/call", {"slice": "Orders", "method": "place", "arguments": [1]})

    assert answer.status == 400
    assert world.calls.asked == []
