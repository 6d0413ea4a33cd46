"""The latch conversation: Create, Events with OPEN_STREAM first, Latch, KeepAlive, Close, delete; beside a
latch client over ttrpc in the same latch, and a v1 client of the election that it is."""

import grpc
from atomix.headers import headers_pb2 as headers
from atomix.leader import latch_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from stage import PATIENCE, Node, Ttrpc, ask, same

SERVICE = "atomix.leader.LeaderLatchService"


def header(session=0, request=0, streams=()):
    made = headers.RequestHeader(session_id=session, request_id=request)
    made.name.name, made.name.namespace = "cron", "jobs"
    for stream, response in streams:
        made.streams.add(stream_id=stream, response_id=response)
    return made


def state(latch):
    return f'{latch.id} {latch.leader} [{" ".join(latch.participants)}]'


def event(message):
    kind = headers.ResponseType.Name(message.header.type)
    latch = state(message.latch) if message.HasField("latch") else "-"
    return f"{message.header.response_id} {kind} {latch}"


def accepted(reply):
    same(reply.header.status, headers.OK, reply.header.message)
    return reply


class Client:
    """One connection's latch session, over gRPC."""

    def __init__(self):
        self.stub = Node().latch
        self.session = self.ask("Create", pb.CreateRequest(header=header(), timeout=Duration(seconds=60))).header
        assert self.session.index > 0, self.session
        self.session = self.session.session_id
        assert 1 <= self.session < 2**63

    def ask(self, method, request):
        return accepted(getattr(self.stub, method)(request, timeout=PATIENCE))

    def latch(self, request, participant):
        asked = pb.LatchRequest(header=header(self.session, request), participant_id=participant)
        return self.ask("Latch", asked)

    def events(self, request):
        return self.stub.Events(pb.EventRequest(header=header(self.session, request)))

    def get(self):
        return state(self.ask("Get", pb.GetRequest(header=header(self.session))).latch)

    def close(self, delete=False):
        return self.ask("Close", pb.CloseRequest(header=header(self.session), delete=delete))


class Distant(Client):
    """The same over ttrpc."""

    def __init__(self):
        self.connection = Ttrpc()
        super().__init__()

    def ask(self, method, request):
        answer = self.connection.call(SERVICE, method, request.SerializeToString())
        return accepted(getattr(pb, f"{method}Response").FromString(answer))


def main():
    a, b, c = Client(), Client(), Distant()
    same(a.get(), "0  []", "Create does not join, and the latch is always present")
    events = a.events(1)
    opened = next(events)
    same(event(opened), "1 OPEN_STREAM -", "first, and no present state")
    same((opened.header.session_id, opened.header.stream_id), (a.session, 1))

    joined = a.latch(2, "a")
    same(state(joined.latch), "1 a [a]")
    same((joined.header.session_id, joined.header.stream_id, joined.header.response_id), (a.session, a.session, 1))
    same(event(next(events)), "2 RESPONSE 1 a [a]")
    same(state(c.latch(1, "c").latch), "1 a [a c]", "a ttrpc client stands in it")
    same(event(next(events)), "3 RESPONSE 1 a [a c]")
    same(state(b.latch(1, "b").latch), "1 a [a c b]", "returns at once, behind others")
    same(event(next(events)), "4 RESPONSE 1 a [a c b]")

    # The same participant of the same session again: nothing new. A number again: the stored reply.
    same(state(a.latch(3, "a").latch), "1 a [a c b]")
    again = a.latch(2, "a")
    same((again.header.index, state(again.latch)), (joined.header.index, "1 a [a]"))

    kept = a.ask("KeepAlive", pb.KeepAliveRequest(header=header(a.session, 2, [(1, 4)])))
    same(kept.header, headers.ResponseHeader(session_id=a.session), "the session's id alone")
    late = a.stub.Latch(pb.LatchRequest(header=header(a.session, 2), participant_id="a"), timeout=PATIENCE)
    same(late.header.status, headers.ERROR)
    same(late.header.message, "sequence number 2 has already been acknowledged")
    assert late.HasField("latch"), "a failure has the latch, too"

    # Latch and v1 clients stand in one election.
    same(Node().term("jobs.cron"), 't1 "a" ["c", "b"]')
    same(b.close().header, headers.ResponseHeader(session_id=b.session))
    same(event(next(events)), "5 RESPONSE 1 a [a c]")
    same(c.close().header.session_id, c.session)
    same(event(next(events)), "6 RESPONSE 1 a [a]")

    # Another latch client over gRPC sees the lead pass on, and the latch's end by somebody without a session.
    d = Client()
    watching = d.events(1)
    same(event(next(watching)), "1 OPEN_STREAM -")
    same(state(d.latch(2, "d").latch), "1 a [a d]")
    same(event(next(watching)), "2 RESPONSE 1 a [a d]")
    same(event(next(events)), "7 RESPONSE 1 a [a d]")
    a.close()
    same(event(next(watching)), "3 RESPONSE 2 d [d]")
    ended(events, a)
    nobody = d.stub.Close(pb.CloseRequest(header=header(), delete=True), timeout=PATIENCE)
    same(accepted(nobody).header, headers.ResponseHeader(), "a deletion's header is empty")
    ended(watching, d)
    same(accepted(d.stub.Close(pb.CloseRequest(header=header(), delete=True))).header, headers.ResponseHeader())
    gone = d.stub.Latch(pb.LatchRequest(header=header(d.session, 3), participant_id="d"), timeout=PATIENCE)
    same(gone.header.status, headers.ERROR, "the deletion ended its session")
    same(ask("term", "jobs.cron"), "0", "the name is forgotten")


def ended(events, of):
    """A stream's last messages: states at most, then CLOSE_STREAM, then OK."""
    rest = list(events)
    assert rest, "CLOSE_STREAM comes"
    same(rest[-1].header.type, headers.CLOSE_STREAM)
    same((rest[-1].header.session_id, rest[-1].header.stream_id), (of.session, 1))
    same(events.code(), grpc.StatusCode.OK)


main()
