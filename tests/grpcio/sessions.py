"""Explicit sessions over gRPC: chosen by metadata, resumed over the other protocol, held to their deadline."""

import time

import grpc
from stage import Node, Ttrpc, ask, eventually, key_of, open_session, refused, same
from tenure.v1 import elections_pb2 as own, sessions_pb2


def holder(node, election):
    return node.own.Describe(own.DescribeRequest(election=election)).state.leader.session


def metadata_chooses_a_session():
    node, other = Node(), Node()
    session = open_session(node)
    same(node.change("Enter", "chosen", "a", metadata=key_of(session)), 't1 "a" []')
    same(holder(other, "chosen"), session.session)
    # Without metadata it is the connection's own.
    same(node.change("Enter", "own", "a"), 't1 "a" []')
    assert holder(other, "own") != session.session
    # To the connection's own session, what it holds by the other is somebody else's.
    error = refused(node.change, "Withdraw", "chosen", "a")
    same(error.code(), grpc.StatusCode.PERMISSION_DENIED)
    node.close()
    eventually("the connection's candidate leaves", lambda: other.term("own") == 't1 "" []')
    same(other.term("chosen"), 't1 "a" []', "an explicit session outlives its connection")
    same(other.change("Withdraw", "chosen", "a", metadata=key_of(session)), 't1 "" []')


def resumed_over_the_other_protocol(first, second, election):
    opener, looker = first(), Node()
    session = open_session(opener, owner="moving")
    enter = own.EnterRequest(election=election, candidate="a", session=session.session)
    assert isinstance(opener.call("tenure.v1.Elections", "Enter", enter.SerializeToString()), bytes)
    resumer = second()
    resumed = open_session(resumer, key=session.key)
    same((resumed.session, resumed.ttl_micros), (session.session, session.ttl_micros))
    opener.close()
    # Attached to the second, its candidate can be withdrawn there by the public id.
    change = own.ChangeRequest(election=election, candidate="a", session=session.session)
    same(looker.term(election), 't1 "a" []')
    assert isinstance(resumer.call("tenure.v1.Elections", "Withdraw", change.SerializeToString()), bytes)
    same(looker.term(election), 't1 "" []')


def moved_away():
    """A resumed session is the second connection's: the first may not act for it by id any more."""
    first, second = Node(), Ttrpc()
    session = open_session(first)
    open_session(second, key=session.key)
    error = refused(first.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session=session.session))
    same(error.code(), grpc.StatusCode.PERMISSION_DENIED)


def a_fast_session_ends_with_its_connection():
    node, other = Node(), Node()
    session = open_session(node, failover=sessions_pb2.FAILOVER_FAST)
    node.change("Enter", "fast", "a", metadata=key_of(session))
    node.close()
    eventually("it ended with the channel", lambda: other.term("fast") == 't1 "" []')
    error = refused(other.change, "Enter", "fast", "a", metadata=key_of(session))
    same(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
    same(error.details(), "session ended: its connection closed; open a new one")


def a_deposed_leader_lets_go():
    """Under `exclusive`: the one that was anointed over ttrpc acts only when the gRPC leader has let go."""
    node = Node()
    session = open_session(node, ttl=60)
    node.change("Enter", "valid", "python", metadata=key_of(session))
    ask("lead", "valid", "rust")
    eventually("it stands", lambda: node.term("valid") == 't1 "python" ["rust"]')
    state = node.own.Anoint(own.ChangeRequest(election="valid", candidate="rust")).state
    same((state.term, state.leader.name), (2, "rust"))
    assert state.valid_after_micros > 50_000_000, state
    time.sleep(0.3)
    same(ask("acts?"), "no")
    told = node.sessions.KeepAlive(sessions_pb2.KeepAliveRequest(session=session.session))
    same([(it.election, it.term) for it in told.lost], [("valid", 1)])
    same(ask("acts?"), "no")
    let_go = sessions_pb2.KeepAliveRequest(session=session.session)
    let_go.released.add(election="valid", term=1)
    same(len(node.sessions.KeepAlive(let_go).lost), 0)
    same(ask("acts"), "2")
    described = node.own.Describe(own.DescribeRequest(election="valid")).state
    same(described.valid_after_micros, 0)


metadata_chooses_a_session()
resumed_over_the_other_protocol(Node, Ttrpc, "to-ttrpc")
resumed_over_the_other_protocol(Ttrpc, Node, "to-grpc")
moved_away()
a_fast_session_ends_with_its_connection()
a_deposed_leader_lets_go()
