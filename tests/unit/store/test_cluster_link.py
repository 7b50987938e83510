from __future__ import annotations

from sipreg.store.cluster_link import read_slots


class TestReadSlots:
    def test_each_range_is_that_of_its_master_whatever_replicas_follow(self) -> None:
        reply = [
            [0, 99, [b"10.0.0.1", 7000, b"id1", []], [b"10.0.0.9", 7009, b"id9"]],
            [100, 16383, [b"node-2", 7001, b"id2", [b"ip", b"10.0.0.2"]]],
        ]
        assert read_slots(reply, "asked") == [(0, 99, ("10.0.0.1", 7000)), (100, 16383, ("node-2", 7001))]

    def test_a_node_that_does_not_know_its_name_is_the_one_that_was_asked(self) -> None:
        for name in (None, b"", b"?"):
            assert read_slots([[5, 5, [name, 7000, b"id"]]], "asked") == [(5, 5, ("asked", 7000))]
