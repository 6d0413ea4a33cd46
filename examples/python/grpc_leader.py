"""Leads an election over gRPC, with stock grpcio and what protoc makes of proto/.

    .venv/bin/python grpc_leader.py ELECTION CANDIDATE [HOST:PORT]

One channel is one connection, and one connection is one session: when it is lost, the server removes the
candidate at once, and the next one leads. grpcio connects again by itself, but nobody enters again by
itself. So a lost connection means here: stop working, watch again, enter again.
"""

import queue
import signal
import sys
import threading
import time
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parent / "stubs"))
from runtime.election.v1 import election_pb2 as pb
from runtime.election.v1 import election_pb2_grpc
from runtime.v1.runtime_pb2 import PrimitiveID

PIECE_SECONDS = 0.5  # of work, and between two attempts to connect
CALL_SECONDS = 5
OPTIONS = [
    # Asks a silent server whether it is still there: a network that is cut closes nothing.
    ("grpc.keepalive_time_ms", 3_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # grpcio would wait up to two minutes before it tries again.
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def say(*words):
    print(*words, flush=True)


class Candidate:
    def __init__(self, address, election, name):
        self.id, self.name = PrimitiveID(name=election), name
        self.stub = election_pb2_grpc.LeaderElectionStub(grpc.insecure_channel(address, OPTIONS))
        self.leads_in = None  # the term, while it leads
        self.stands = False  # as the watch has it

    def contend(self):
        """Stands until somebody removes it by hand."""
        while True:
            try:
                return self.stand()
            except grpc.RpcError as error:
                # It may have been the leader, and isn't any more: the work has to stop first of all.
                self.leads_in = None
                say(f"lost: {error.code().name}: {error.details()}; entering again")
                time.sleep(PIECE_SECONDS)

    def stand(self):
        """Enters, and works while it leads. Raises RpcError when the connection is lost."""
        self.stands = False
        # First, and on the same connection: as long as the watch goes on, so does the session.
        terms = queue.Queue()
        threading.Thread(target=self.watch, args=(terms,), daemon=True).start()
        entered = self.stub.Enter(self.request(pb.EnterRequest), timeout=CALL_SECONDS).term
        say(f"entered {self.id.name} as {self.name} in term {entered.term}")
        while True:
            try:
                news = terms.get(timeout=PIECE_SECONDS)
            except queue.Empty:
                self.work()
                continue
            if isinstance(news, Exception):
                raise news
            if not self.follow(news):
                return

    def watch(self, terms):
        try:
            for event in self.stub.Watch(pb.WatchRequest(id=self.id)):
                terms.put(event.term)
        except grpc.RpcError as error:
            terms.put(error)

    def follow(self, term):
        """Takes in a new state; false if it does not stand any more."""
        say(f"term {term.term}: {term.leader or 'nobody'} leads; waiting: {' '.join(term.candidates) or '-'}")
        leads = term.leader == self.name
        if self.leads_in and not leads:
            say(f"stopped working in term {self.leads_in}")
        self.leads_in = term.term if leads else None
        stood, self.stands = self.stands, leads or self.name in term.candidates
        if stood and not self.stands:
            say("removed by somebody else")
            return False
        return True

    def work(self):
        # A short piece, and whatever it writes carries the term: who checks it refuses an older leader.
        if self.leads_in:
            say(f"working in term {self.leads_in}")

    def withdraw(self):
        try:
            term = self.stub.Withdraw(self.request(pb.WithdrawRequest), timeout=CALL_SECONDS).term
            say(f"withdrawn; term {term.term}: {term.leader or 'nobody'} leads")
        except grpc.RpcError as error:
            say(f"gone without a word, which does the same: {error.details()}")

    def request(self, kind):
        return kind(id=self.id, candidate=self.name)


def main(election, name, address="127.0.0.1:5678"):
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as SIGINT
    candidate = Candidate(address, election, name)
    try:
        candidate.contend()
    except KeyboardInterrupt:
        candidate.withdraw()


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("usage: grpc_leader.py ELECTION CANDIDATE [HOST:PORT]")
    main(*sys.argv[1:])
