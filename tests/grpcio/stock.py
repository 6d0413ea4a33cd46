"""What stock tools ask: reflection and health; and what they see of a server that drains."""

import time

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from runtime.election.v1 import election_pb2 as v1
from runtime.v1.runtime_pb2 import PrimitiveID
from stage import Node, ask, eventually, next_of, refused, same
from tenure.v1 import elections_pb2 as own

OURS = {
    "atomix.runtime.election.v1.LeaderElection",
    "atomix.runtime.election.v1.LeaderElections",
    "atomix.leader.LeaderLatchService",
    "tenure.v1.Connection",
    "tenure.v1.Elections",
    "tenure.v1.Sessions",
    "tenure.v1.Storage",
}


def reflection_by_its_stock_client():
    database = ProtoReflectionDescriptorDatabase(Node().channel)
    services = set(database.get_services())
    assert OURS <= services, services
    assert "grpc.health.v1.Health" in services, services
    pool = DescriptorPool(database)
    for name in OURS:
        assert pool.FindServiceByName(name).methods, name
    enter = pool.FindServiceByName("atomix.runtime.election.v1.LeaderElection").methods_by_name["Enter"]
    same(enter.input_type.full_name, "atomix.runtime.election.v1.EnterRequest")
    # The original's file names.
    same(enter.containing_service.file.name, "runtime/election/v1/election.proto")
    same(pool.FindServiceByName("atomix.leader.LeaderLatchService").file.name, "atomix/leader/latch.proto")
    same(pool.FindFileByName("runtime/v1/runtime.proto").package, "atomix.runtime.v1")


def reflection_v1():
    """The stock package has v1alpha alone; v1's messages are the same under another service's name."""
    stream = Node().channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda it: it.SerializeToString(),
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tenure.v1.Elections"),
    ]
    services, file = list(stream(iter(asked)))
    assert OURS <= {it.name for it in services.list_services_response.service}
    found = FileDescriptorProto.FromString(file.file_descriptor_response.file_descriptor_proto[0])
    same((found.name, found.package), ("tenure/v1/elections.proto", "tenure.v1"))
    unknown = reflection_pb2.ServerReflectionRequest(file_by_filename="nothing.proto")
    same(refused(list, stream(iter([unknown]))).code(), grpc.StatusCode.NOT_FOUND)


def health():
    stub = health_pb2_grpc.HealthStub(Node().channel)
    for name in ["", *OURS]:
        status = stub.Check(health_pb2.HealthCheckRequest(service=name)).status
        same(status, health_pb2.HealthCheckResponse.SERVING, name)
    error = refused(stub.Check, health_pb2.HealthCheckRequest(service="nobody"))
    same(error.code(), grpc.StatusCode.NOT_FOUND)
    same(refused(Node().channel.unary_unary("/grpc.nobody/Nothing"), b"").code(), grpc.StatusCode.UNIMPLEMENTED)


def draining():
    """Watches end with the sentence, calls under way are answered, health says so, nothing new is taken."""
    node, holder = Node(), Node()
    same(node.change("Enter", "drained", "a"), 't1 "a" []')
    watch = node.watch("drained")
    same(next_of(watch), 't1 "a" []')
    observation = node.own.Observe(own.ObserveRequest(election="drained"))
    same(next(observation).term, 1)
    healths = health_pb2_grpc.HealthStub(holder.channel).Watch(health_pb2.HealthCheckRequest())
    same(next(healths).status, health_pb2.HealthCheckResponse.SERVING)
    # It waits until the other leaves: its deadline is far.
    wait = own.EnterRequest(election="drained", candidate="a", on_conflict=own.ON_CONFLICT_WAIT)
    waiting = holder.own.Enter.future(wait, timeout=60)
    flood = [holder.election.Enter.future(v1.EnterRequest(id=PrimitiveID(name=f"e{n}"), candidate="x"))
             for n in range(200)]
    flood[0].result()
    began = time.monotonic()
    ask("drain")
    for stream in [watch, observation]:
        error = refused(list, stream)
        same(error.code(), grpc.StatusCode.UNAVAILABLE)
        same(error.details(), "the server is draining; connect to it again when it is back")
    # It goes on until the connection ends, for whoever asks meanwhile.
    same(next(healths).status, health_pb2.HealthCheckResponse.NOT_SERVING)
    error = refused(waiting.result)
    same(error.code(), grpc.StatusCode.UNAVAILABLE)
    # Each that the server had taken was answered; the others were refused.
    for call in flood:
        assert call.exception() is None or call.code() == grpc.StatusCode.UNAVAILABLE, call.exception()
    same(refused(Node().term, "drained", ).code(), grpc.StatusCode.UNAVAILABLE)
    same(ask("exit"), "0")
    took = time.monotonic() - began
    assert took < 9, f"{took} s"
    print(f"drained in {took:.2f} s; {sum(it.exception() is None for it in flood)} of {len(flood)} answered")


reflection_by_its_stock_client()
reflection_v1()
health()
draining()
