"""Where a client keeps more than it may, asks for too long, turns away, or does not read."""

import time

import grpc
from stage import PATIENCE, Node, ask, eventually, next_of, refused, same
from tenure.v1 import elections_pb2 as own

STREAMS = 1024
TOO_MANY = (
    "limit reached: streams (1024); wait for the answers to earlier calls, end watches that are no longer read, "
    "or use another connection"
)


def streams_are_limited_and_come_back():
    node, other = Node(), Node()
    other.change("Enter", "many", "a")
    watches = [node.watch("many") for _ in range(STREAMS)]
    for watch in watches:
        same(next_of(watch), 't1 "a" []')
    one_more = refused(next, node.watch("many"))
    same((one_more.code(), one_more.details()), (grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_MANY))
    # What waits for nothing needs no place.
    same(node.term("many"), 't1 "a" []')
    # And what ends watches is taken, too: this ends those of an election without any.
    node.close_election("few")
    # Others are served, and whatever ends a watch gives its place back.
    same(other.change("Enter", "many", "b"), 't1 "a" ["b"]')
    for watch in watches[:100]:
        watch.cancel()

    def is_taken():
        watch = node.watch("many")
        try:
            next(watch)
        except grpc.RpcError as error:
            same(error.details(), TOO_MANY)
            return None
        return watch

    again = [eventually("a place is free", is_taken) for _ in range(100)]
    error = eventually("no more than that", lambda: refused(next, node.watch("many")))
    same(error.details(), TOO_MANY)
    for watch in again + watches[100:]:
        watch.cancel()
    # Beyond twice the limit, grpcio itself keeps them back until there is room: all are answered.
    flood = [node.watch("many", timeout=PATIENCE) for _ in range(3 * STREAMS)]
    refusals = 0
    for watch in flood:
        try:
            next(watch)
        except grpc.RpcError as error:
            same(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            refusals += 1
        watch.cancel()
    print(f"{refusals} of {len(flood)} watches at once were refused")
    node.close()


def deadlines_are_kept():
    node, holder = Node(), Node()
    holder.own.Enter(own.EnterRequest(election="late", candidate="a"))
    began = time.monotonic()
    wait = own.EnterRequest(election="late", candidate="a", on_conflict=own.ON_CONFLICT_WAIT)
    same(refused(node.own.Enter, wait, timeout=0.3).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    watch = node.watch("late", timeout=0.3)
    same(next_of(watch), 't1 "a" []')
    same(refused(next, watch).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    took = time.monotonic() - began
    assert 0.6 <= took < PATIENCE, took
    # The one that waited has given up on the server, too: it does not enter later.
    holder.own.Withdraw(own.ChangeRequest(election="late", candidate="a"))
    same(holder.term("late"), 't1 "" []')
    same(holder.change("Enter", "late", "b"), 't2 "b" []')


def a_watcher_that_does_not_read():
    node, slow = Node(), Node()
    # Each state is some 20 KB: 40 candidates with long names.
    big = "slow"
    for n in range(40):
        node.change("Enter", big, f"{n:02}" + "x" * 500)
    watches = [slow.watch(big) for _ in range(20)]
    for watch in watches:
        next(watch)
    before = int(ask("memory"))
    changes = 4000
    ask("churn", big, changes)
    grown = int(ask("memory")) - before
    # Unbounded, it would be 20 times 4,000 times 20 KB: 1.6 GB.
    assert grown < 64 << 20, f"grown by {grown >> 20} MB"
    newest = node.term(big)
    for watch in watches:
        count, last = 0, None
        while last != newest:
            last = next_of(watch)
            count += 1
        assert count < changes, "nothing was merged"
        watch.cancel()
    print(f"{grown >> 20} MB more for 20 watchers that slept through {changes} changes")


streams_are_limited_and_come_back()
deadlines_are_kept()
a_watcher_that_does_not_read()
