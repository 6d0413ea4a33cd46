"""Every method of every service once over gRPC; and each bad request over gRPC and over ttrpc, which must be
refused with the same code in the same words."""

import importlib

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass
from runtime.v1.runtime_pb2 import PrimitiveID

from atomix.headers import headers_pb2 as headers
from atomix.leader import latch_pb2
from runtime.election.v1 import election_pb2 as v1
from runtime.election.v1 import elections_pb2
from stage import PATIENCE, Node, Refusal, Ttrpc, key_of, open_session, same, shown
from tenure.v1 import connection_pb2, elections_pb2 as own, sessions_pb2, storage_pb2

ELECTION = "atomix.runtime.election.v1.LeaderElection"
ELECTIONS = "atomix.runtime.election.v1.LeaderElections"
LATCH = "atomix.leader.LeaderLatchService"
OWN = "tenure.v1.Elections"
SESSIONS = "tenure.v1.Sessions"

FILES = ["runtime.election.v1.election", "runtime.election.v1.elections", "atomix.leader.latch",
         "tenure.v1.connection", "tenure.v1.elections", "tenure.v1.sessions", "tenure.v1.storage"]


def services():
    """Method descriptors by service and name, from the schemas: none can be forgotten."""
    found = {}
    for file in FILES:
        module = importlib.import_module(f"{file}_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                found[service.full_name, method.name] = method
    return found


def every_method():
    node, other, methods = Node(), Node(), services()
    called = set()

    def call(service, name, request, by=node, **how):
        called.add((service, name))
        method = methods[service, name]
        assert isinstance(request, GetMessageClass(method.input_type)), (service, name)
        # Where the stub says a stream, the server gives one: grpcio would complain of anything else.
        kind = by.channel.unary_stream if method.server_streaming else by.channel.unary_unary
        stub = kind(
            f"/{service}/{name}",
            request_serializer=lambda it: it.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        timeout = None if method.server_streaming else PATIENCE
        return stub(request, timeout=timeout, **how)

    id = PrimitiveID(name="every/v1")
    for service in [ELECTIONS, ELECTION]:
        request = elections_pb2.CreateRequest(id=id, tags=["a"])
        same(call(service, "Create", request).SerializeToString(), b"\x0a\x02\x0a\x00")
    watch = call(ELECTION, "Watch", v1.WatchRequest(id=id))
    same(shown(call(ELECTION, "GetTerm", v1.GetTermRequest(id=id)).term), 't0 "" []')
    for method, candidate, by, state in [
        ("Enter", "a", node, 't1 "a" []'),
        ("Enter", "b", other, 't1 "a" ["b"]'),
        ("Enter", "c", other, 't1 "a" ["b", "c"]'),
        ("Promote", "c", node, 't1 "a" ["c", "b"]'),
        ("Demote", "a", node, 't2 "c" ["a", "b"]'),
        ("Anoint", "b", node, 't3 "b" ["c", "a"]'),
        ("Withdraw", "b", other, 't4 "c" ["a"]'),
        ("Evict", "c", node, 't5 "a" []'),
    ]:
        request = getattr(v1, f"{method}Request")(id=id, candidate=candidate)
        same(shown(call(ELECTION, method, request, by).term), state, method)
        same(shown(next(watch).term), state, f"the event of {method}")
    close = elections_pb2.CloseRequest(id=id)
    same(call(ELECTION, "Close", close).SerializeToString(), b"")
    same([shown(it.term) for it in watch], ['t5 "" []'])
    same(call(ELECTIONS, "Close", close).SerializeToString(), b"")

    # A rule of the configuration lets clients cache what has this tag.
    hello = call("tenure.v1.Connection", "Hello", connection_pb2.HelloRequest(client_name="grpcio"))
    assert hello.server_id and hello.incarnation and hello.limits.streams == 1024, hello

    opened = call(SESSIONS, "Open", sessions_pb2.OpenRequest(ttl_micros=30_000_000, owner="a test"))
    assert opened.session and len(opened.key) == 16 and opened.ttl_micros == 30_000_000, opened
    mine = opened.session
    kept = call(SESSIONS, "KeepAlive", sessions_pb2.KeepAliveRequest(session=mine))
    same(kept.ttl_micros, 30_000_000)
    listed = call(SESSIONS, "List", sessions_pb2.ListRequest(page_size=1000)).sessions
    assert any(it.session == mine and it.owner == "a test" for it in listed), listed

    name = "every/own"
    observed = call(OWN, "Observe", own.ObserveRequest(election=name))
    same(next(observed).term, 0, "the present state first, also if nobody leads")
    entered = call(OWN, "Enter", own.EnterRequest(session=mine, election=name, candidate="a"))
    assert entered.entered and entered.state.leader.name == "a", entered
    second = call(OWN, "Enter", own.EnterRequest(session=mine, election=name, candidate="b"))
    same([it.name for it in second.state.candidates], ["b"])
    for method, candidate, term, leader in [
        ("Anoint", "b", 2, "b"),
        ("Promote", "a", 3, "a"),
        ("Demote", "a", 4, "b"),
        ("Withdraw", "b", 5, "a"),
    ]:
        change = own.ChangeRequest(session=mine, election=name, candidate=candidate, reason="to see")
        state = call(OWN, method, change).state
        same((state.term, state.leader.name, state.change.reason), (term, leader, "to see"), method)
    state = call(OWN, "Describe", own.DescribeRequest(election=name))
    same((state.state.term, state.queue[0].session.session), (5, mine))
    summary = call(OWN, "List", own.ListElectionsRequest(prefix="every/o")).elections
    same([(it.election, it.term, it.leader, it.standing) for it in summary], [(name, 5, "a", 1)])
    same(call(OWN, "Check", own.CheckRequest(election=name, term=5)).verdict, own.VERDICT_CURRENT)
    same([it.term for it in call(OWN, "History", own.HistoryRequest(election=name)).reigns], [5, 4, 3, 2, 1])
    state = call(OWN, "Evict", own.ChangeRequest(election=name, candidate="a")).state
    assert not state.HasField("leader"), state
    call(OWN, "Delete", own.DeleteRequest(election=name))
    while next(observed).change.cause != own.CAUSE_DELETED:
        pass
    observed.cancel()
    pieces = call("tenure.v1.Storage", "Backup", storage_pb2.BackupRequest())
    assert sum(len(it.data) for it in pieces) > 0
    same(pieces.code(), grpc.StatusCode.OK)
    call(SESSIONS, "Close", sessions_pb2.CloseRequest(session=mine))
    another = open_session(other)
    call(SESSIONS, "End", sessions_pb2.EndRequest(session=another.session, reason="to see"))

    header = headers.RequestHeader()
    header.name.name = "every/latch"
    created = call(LATCH, "Create", latch_pb2.CreateRequest(header=header, timeout=Duration(seconds=30)))
    header.session_id = created.header.session_id
    header.request_id = 1
    events = call(LATCH, "Events", latch_pb2.EventRequest(header=header))
    same(next(events).header.type, headers.OPEN_STREAM)
    header.request_id = 2
    same(call(LATCH, "Latch", latch_pb2.LatchRequest(header=header, participant_id="a")).latch.leader, "a")
    header.request_id = 0
    same(call(LATCH, "Get", latch_pb2.GetRequest(header=header)).latch.leader, "a")
    call(LATCH, "KeepAlive", latch_pb2.KeepAliveRequest(header=header))
    call(LATCH, "Close", latch_pb2.CloseRequest(header=header))
    same([it.header.type for it in events][-1], headers.CLOSE_STREAM)
    same(set(methods) - called, set(), "methods that were not called")


def bad_requests(holder):
    """What is refused: service, method, payload, and what else the call has."""
    def on(election, candidate, request=v1.EnterRequest):
        return request(id=PrimitiveID(name=election), candidate=candidate).SerializeToString()

    def own_enter(**fields):
        return own.EnterRequest(**fields).SerializeToString()

    ended = open_session(holder)
    closing = sessions_pb2.CloseRequest(session=ended.session).SerializeToString()
    same(holder.call(SESSIONS, "Close", closing), b"")
    for method in ["Enter", "Withdraw", "Anoint", "Promote", "Demote", "Evict"]:
        yield ELECTION, method, on("", "a"), {}
        yield ELECTION, method, on("bad", ""), {}
        yield ELECTION, method, on("bad", "x" * 513), {}
        yield ELECTION, method, on("bad\x07", "a"), {}
        yield ELECTION, method, b"\x0a\xff", {}
        yield OWN, method, own_enter(candidate="a"), {}
        yield OWN, method, own_enter(election="bad"), {}
        yield OWN, method, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", {}
        yield OWN, method, own_enter(election="bad", candidate="a", session=77), {}
        yield OWN, method, own_enter(election="bad", candidate="a"), {"metadata": key_of(ended)}
    for method in ["Create", "Close", "GetTerm"]:
        yield ELECTION, method, b"", {}
        yield ELECTION, method, b"\x0a\x03\x0a\x01\xff", {}  # a name that is not UTF-8
    for method in ["Create", "Close"]:
        yield ELECTIONS, method, b"", {}
    yield ELECTION, "Watch", b"", {"streams": True}
    yield ELECTION, "Watch", b"\x08", {"streams": True}
    # Where a candidate of somebody else's explicit session stands.
    yield ELECTION, "Enter", on("held", "h"), {}
    yield ELECTION, "Withdraw", on("held", "h"), {}
    yield OWN, "Enter", own_enter(election="held", candidate="h"), {}
    yield OWN, "Withdraw", own_enter(election="held", candidate="h"), {}
    yield OWN, "Anoint", own_enter(election="held", candidate="nobody"), {}
    unexpected = own.ChangeRequest(election="held", candidate="h", expected_term=7).SerializeToString()
    yield OWN, "Evict", unexpected, {}
    yield OWN, "Delete", own.DeleteRequest(election="held", expected_term=9).SerializeToString(), {}
    yield OWN, "Describe", own.DescribeRequest(election="").SerializeToString(), {}
    yield OWN, "Observe", own.ObserveRequest(election="").SerializeToString(), {"streams": True}
    for ttl, failover in [(1, 0), (100_000, 0), (10**18, 0), (2**64 - 1, 1)]:
        bad = sessions_pb2.OpenRequest(ttl_micros=ttl, failover=failover)
        yield SESSIONS, "Open", bad.SerializeToString(), {}
    yield SESSIONS, "Open", sessions_pb2.OpenRequest(key=b"short").SerializeToString(), {}
    yield SESSIONS, "Open", sessions_pb2.OpenRequest(key=b"0123456789abcdef").SerializeToString(), {}
    yield SESSIONS, "Open", sessions_pb2.OpenRequest(key=ended.key).SerializeToString(), {}
    yield SESSIONS, "KeepAlive", sessions_pb2.KeepAliveRequest(session=99).SerializeToString(), {}
    yield SESSIONS, "KeepAlive", b"", {"metadata": key_of(ended)}
    yield SESSIONS, "End", sessions_pb2.EndRequest(session=99).SerializeToString(), {}
    for key in ["", "xyz", "0" * 31, "0" * 32, "0" * 33]:
        yield ELECTION, "Enter", on("bad", "a"), {"metadata": [("tenure-session", key)]}
    yield ELECTION, "Enter", on("bad", "a"), {"metadata": key_of(ended)}
    yield ELECTION, "GetTerm", on("bad", "a"), {"metadata": key_of(ended)}
    yield ELECTION, "Abdicate", b"", {}
    yield "atomix.runtime.election.v2.LeaderElection", "Enter", b"", {}
    yield "nobody", "x", b"", {}
    yield LATCH, "Abdicate", b"", {}
    yield LATCH, "Latch", b"\x0a\xff", {}
    # A header without a name is an ERROR in an OK reply, not a refusal: compared as bytes.
    yield LATCH, "Latch", b"", {}
    yield LATCH, "Close", latch_pb2.CloseRequest().SerializeToString(), {}
    yield ELECTION, "GetTerm", bytes((4 << 20) + 1), {}
    yield ELECTION, "Enter", on("bad", "x" * (4 << 20)), {}
    wait = own_enter(election="held", candidate="h", on_conflict=own.ON_CONFLICT_WAIT)
    yield OWN, "Enter", wait, {"timeout": 0.3}


def the_same_refusals():
    holder = Ttrpc()
    session = open_session(holder)
    enter = own.EnterRequest(session=session.session, election="held", candidate="h").SerializeToString()
    assert isinstance(holder.call(OWN, "Enter", enter), bytes)
    grpc_side, ttrpc_side, different, count = Node(), Ttrpc(), [], 0
    for service, method, payload, how in bad_requests(holder):
        over_grpc = grpc_side.call(service, method, payload, **how)
        over_ttrpc = ttrpc_side.call(service, method, payload, **how)
        if "timeout" in how:
            # grpcio has a clock of its own, which may be first; then these are its words.
            over_grpc, over_ttrpc = over_grpc.code, over_ttrpc.code
        if service != LATCH and isinstance(over_ttrpc, bytes):
            different.append(f"{service}/{method} {payload[:40]} {how}: taken")
        count += 1
        if over_grpc != over_ttrpc:
            different.append(f"{service}/{method} {payload[:40]} {how}: {over_grpc} and {over_ttrpc}")
    assert not different, "\n".join(["not refused alike over gRPC and over ttrpc:", *different])
    assert count > 100, count
    # Whoever sent all that is served on.
    same(grpc_side.term("bad"), 't0 "" []')
    same(isinstance(ttrpc_side.call(SESSIONS, "List", b""), bytes), True)


every_method()
the_same_refusals()
