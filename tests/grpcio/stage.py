"""What the scripts beside this share: channels of stock grpcio, ttrpc over a plain socket, and the test that
runs them, which does as it is asked to on standard output."""

import socket
import struct
import sys
import time
from collections import namedtuple

import grpc
from atomix.leader import latch_pb2_grpc
from runtime.election.v1 import election_pb2 as v1
from runtime.election.v1 import election_pb2_grpc, elections_pb2, elections_pb2_grpc
from runtime.v1.runtime_pb2 import PrimitiveID
from tenure.v1 import connection_pb2_grpc, elections_pb2_grpc as own_elections_grpc
from tenure.v1 import sessions_pb2, sessions_pb2_grpc, storage_pb2_grpc
from ttrpc import request_pb2

PATIENCE = 60
ADDRESS = sys.argv[1]


def ask(*words):
    """Asks the test to do something that can't be done from here; its answer."""
    print("ask", *words, flush=True)
    return sys.stdin.readline().strip()


def eventually(what, is_so):
    deadline = time.monotonic() + PATIENCE
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.01)
    return found


def same(found, expected, about=""):
    assert found == expected, f"{about}: expected {expected!r}, found {found!r}"


class Node:
    """A connection that no other channel of this process shares."""

    def __init__(self, address=ADDRESS, options=()):
        own = ("grpc.use_local_subchannel_pool", 1)
        options = [own, ("grpc.max_reconnect_backoff_ms", 200), *options]
        self.channel = grpc.insecure_channel(address, options)
        self.election = election_pb2_grpc.LeaderElectionStub(self.channel)
        self.elections = elections_pb2_grpc.LeaderElectionsStub(self.channel)
        self.latch = latch_pb2_grpc.LeaderLatchServiceStub(self.channel)
        self.hello = connection_pb2_grpc.ConnectionStub(self.channel)
        self.own = own_elections_grpc.ElectionsStub(self.channel)
        self.sessions = sessions_pb2_grpc.SessionsStub(self.channel)
        self.storage = storage_pb2_grpc.StorageStub(self.channel)

    def change(self, method, election, candidate, **how):
        request = getattr(v1, f"{method}Request")(id=PrimitiveID(name=election), candidate=candidate)
        return shown(getattr(self.election, method)(request, timeout=PATIENCE, **how).term)

    def term(self, election, **how):
        request = v1.GetTermRequest(id=PrimitiveID(name=election))
        return shown(self.election.GetTerm(request, timeout=PATIENCE, **how).term)

    def create(self, election):
        request = elections_pb2.CreateRequest(id=PrimitiveID(name=election))
        return self.elections.Create(request, timeout=PATIENCE)

    def close_election(self, election):
        self.elections.Close(elections_pb2.CloseRequest(id=PrimitiveID(name=election)), timeout=PATIENCE)

    def watch(self, election, **how):
        return self.election.Watch(v1.WatchRequest(id=PrimitiveID(name=election)), **how)

    def call(self, service, method, payload, streams=False, metadata=(), timeout=PATIENCE):
        """A call of bytes: its answer or answers, or how it was refused."""
        kind = self.channel.unary_stream if streams else self.channel.unary_unary
        call = kind(f"/{service}/{method}")
        try:
            answer = call(payload, timeout=timeout, metadata=metadata)
            return list(answer) if streams else answer
        except grpc.RpcError as error:
            return Refusal(error.code().value[0], error.details())

    def close(self):
        self.channel.close()


Refusal = namedtuple("Refusal", "code message")


def shown(term):
    waiting = ", ".join(f'"{it}"' for it in term.candidates)
    return f't{term.term} "{term.leader}" [{waiting}]'


def next_of(watch):
    return shown(next(watch).term)


def refused(call, *args, **how):
    try:
        call(*args, **how)
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was not refused")


class Ttrpc:
    """A connection that speaks ttrpc, one call at a time."""

    def __init__(self, address=ADDRESS):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.stream = -1

    def read(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the server closed the connection"
            data += piece
        return data

    def receive(self):
        length, _stream, kind, flags = struct.unpack(">IIBB", self.read(10))
        return kind, flags, self.read(length)

    def call(self, service, method, payload, streams=False, metadata=(), timeout=PATIENCE):
        self.stream += 2
        request = request_pb2.Request(
            service=service, method=method, payload=payload, timeout_nano=int(timeout * 1e9)
        )
        for key, value in metadata:
            request.metadata.add(key=key, value=value)
        body = request.SerializeToString()
        flags = 1 if streams else 0
        self.socket.sendall(struct.pack(">IIBB", len(body), self.stream, 1, flags) + body)
        messages = []
        while True:
            kind, flags, body = self.receive()
            if kind == 2:
                response = request_pb2.Response.FromString(body)
                if response.status.code:
                    return Refusal(response.status.code, response.status.message)
                return response.payload
            if not flags & 4:
                messages.append(body)
            if flags & 1:
                return messages

    def close(self):
        self.socket.close()


def open_session(opener, ttl=60, failover=sessions_pb2.FAILOVER_EXCLUSIVE, key=b"", owner=""):
    """Opens or resumes a session over either protocol."""
    request = sessions_pb2.OpenRequest(ttl_micros=int(ttl * 1e6), failover=failover, key=key, owner=owner)
    reply = opener.call("tenure.v1.Sessions", "Open", request.SerializeToString())
    assert isinstance(reply, bytes), reply
    return sessions_pb2.OpenResponse.FromString(reply)


def key_of(session):
    return [("tenure-session", session.key.hex())]
