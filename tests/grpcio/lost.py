"""What a published v1 client meets when the server restarts, or when its connection is cut. Like those, this
opens its Watch again by itself, and does not enter again."""

import sys
import threading

import grpc
from stage import Node, ask, eventually, same, shown
from tenure.v1 import connection_pb2

HELLO = connection_pb2.HelloRequest()


class Published(Node):
    """Watches one election for ever, over as many connections as it takes."""

    def __init__(self, address, election, candidate):
        super().__init__(address)
        self.name, self.candidate = election, candidate
        self.seen, self.losses = [], []
        threading.Thread(target=self.keep_watching, daemon=True).start()

    def keep_watching(self):
        while True:
            try:
                for event in self.watch(self.name, wait_for_ready=True):
                    self.seen.append(shown(event.term))
            except grpc.RpcError as error:
                self.losses.append(error.code())

    def enter(self):
        return self.change("Enter", self.name, self.candidate, wait_for_ready=True)

    def sees(self, state):
        eventually(f"{self.candidate} sees {state} and not {self.seen}", lambda: self.seen[-1:] == [state])


def a_restart(durable, first, now_term):
    """Both candidates' connections are lost with the server. They are told nothing: the watch that comes back
    shows it."""
    a, b = (Published(sys.argv[1], "cron", name) for name in "ab")
    same(a.enter(), 't1 "a" []')
    same(b.enter(), 't1 "a" ["b"]')
    b.sees('t1 "a" ["b"]')
    before = a.hello.Hello(HELLO)
    ask("restart")
    after = a.hello.Hello(HELLO, wait_for_ready=True)
    assert before.incarnation != after.incarnation
    same(before.server_id == after.server_id, durable)
    # Connection sessions have ended, and nobody leads. The term is kept, by a server that keeps anything.
    same(a.term("cron"), f't{now_term} "" []')
    for it in (a, b):
        eventually("its watch broke", lambda: it.losses)
        same(set(it.losses), {grpc.StatusCode.UNAVAILABLE})
    if durable:
        a.sees(f't{now_term} "" []')
        b.sees(f't{now_term} "" []')
    # To enter again is the program's own business; the lead comes with a term of its own.
    same(b.enter(), f't{now_term + 1} "b" []')
    a.sees(f't{now_term + 1} "b" []')
    same(a.enter(), f't{now_term + 1} "b" ["a"]')


def a_cut():
    """One connection is cut: the server gives its lead to the next one at once."""
    a, b = Published(ask("proxy"), "cut", "a"), Published(sys.argv[1], "cut", "b")
    same(a.enter(), 't1 "a" []')
    same(b.enter(), 't1 "a" ["b"]')
    a.sees('t1 "a" ["b"]')
    ask("cut")
    b.sees('t2 "b" []')
    # The watch that comes back tells the former leader, which does not stand any more.
    a.sees('t2 "b" []')
    same(set(a.losses), {grpc.StatusCode.UNAVAILABLE})
    same(b.losses, [])
    same(a.enter(), 't2 "b" ["a"]')


def a_reconnect_before_the_loss_is_noticed():
    """The network falls silent, so the server still holds the first connection for alive. Enter on another
    takes the candidate over: it keeps its place, and leads in a term of its own."""
    first, second = Node(ask("proxy")), Node()
    same(first.change("Enter", "silent", "a"), 't1 "a" []')
    ask("block")
    same(second.change("Enter", "silent", "a"), 't2 "a" []')
    held = int(ask("sessions"))
    ask("cut")
    eventually("the first is gone", lambda: int(ask("sessions")) == held - 1)
    same(second.term("silent"), 't2 "a" []')


match sys.argv[2]:
    case "durable":
        # a, and then nobody: b leaves with it, in the same change.
        a_restart(True, 1, 1)
    case "memory":
        a_restart(False, 1, 0)
    case "cut":
        a_cut()
        a_reconnect_before_the_loss_is_noticed()
