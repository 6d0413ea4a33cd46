"""Leads an election over ttrpc, with nothing but a socket: ttrpc_leader.py ELECTION CANDIDATE [HOST:PORT]"""
import select, signal, socket, struct, sys, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "stubs"))
from runtime.election.v1 import election_pb2 as pb
from ttrpc.request_pb2 import Request, Response

HEADER, REQUEST, RESPONSE = struct.Struct(">IIBB"), 1, 2  # length, stream, type, flags
SERVICE = "atomix.runtime.election.v1.LeaderElection"

class Connection:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, stream, method, flags=0, **fields):
        payload = pb.EnterRequest(**fields).SerializeToString()  # all of them have the same fields
        body = Request(service=SERVICE, method=method, payload=payload).SerializeToString()
        self.socket.sendall(HEADER.pack(len(body), stream, REQUEST, flags) + body)

    def read(self, count):
        data = self.socket.recv(count, socket.MSG_WAITALL) if count else b""
        if len(data) < count:
            raise ConnectionError("the server closed the connection")
        return data

    def receive(self):
        length, _stream, kind, _flags = HEADER.unpack(self.read(HEADER.size))
        body = self.read(length)
        if kind != RESPONSE:  # of the watch
            return pb.WatchResponse.FromString(body).term
        if (status := Response.FromString(body).status).code:
            raise ConnectionError(f"refused: {status.message}")

def contend(connection, election, candidate):
    connection.send(1, "Watch", flags=1, id={"name": election})
    connection.send(3, "Enter", id={"name": election}, candidate=candidate)
    leads_in = None  # the term, while it leads
    try:
        while True:
            if not select.select([connection.socket], [], [], 0.5)[0]:
                if leads_in: print(f"working in term {leads_in}", flush=True)
            elif term := connection.receive():
                print(f"term {term.term}: {term.leader or 'nobody'} leads", flush=True)
                leads_in = term.term if term.leader == candidate else None
    except SystemExit:
        connection.send(5, "Withdraw", id={"name": election}, candidate=candidate)
        raise

for stop in (signal.SIGTERM, signal.SIGINT):
    signal.signal(stop, lambda *_: sys.exit())
election, candidate, address = (sys.argv[1:] + ["127.0.0.1:5678"])[:3]
while True:
    try:
        contend(Connection(*address.rsplit(":", 1)), election, candidate)
    except OSError as lost:  # and with the connection the candidate: enter again
        print(f"lost: {lost}; entering again", flush=True)
        time.sleep(0.5)
