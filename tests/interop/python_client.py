"""Drives the contract with nothing but what protoc makes of its .proto: initialize, list, call, a worker's death, close."""

import json
import os
import sys
import time

import grpc

from contextforge.mcp.runtime.v1 import runtime_pb2, runtime_pb2_grpc

SOCKET, KILLED = sys.argv[1], sys.argv[2]
TIMEOUT = 10


def message(method, params=None, number=1):
    body = {"jsonrpc": "2.0", "id": number, "method": method}
    if params is not None:
        body["params"] = params
    return json.dumps(body).encode()


def invoke(stub, session, body):
    request = runtime_pb2.McpRequest(
        method="POST", path="/mcp", body=body, session_id=session, headers={"Content-Type": "application/json"}
    )
    response = stub.Invoke(request, timeout=TIMEOUT)
    return response, json.loads(response.body) if response.body else None


def main():
    channel = grpc.insecure_channel(f"unix:{SOCKET}")
    stub = runtime_pb2_grpc.McpRuntimeStub(channel)

    health = stub.HealthCheck(runtime_pb2.HealthRequest(), timeout=TIMEOUT)
    assert health.status == "ok", health

    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "python", "version": "1"}}
    response, answer = invoke(stub, "", message("initialize", hello))
    session = response.headers["mcp-session-id"]
    assert response.status == 200 and session, response
    assert answer["result"]["serverInfo"]["name"] == "ringside", answer

    _, answer = invoke(stub, session, message("tools/list"))
    assert "echo" in {tool["name"] for tool in answer["result"]["tools"]}, answer

    call = message("tools/call", {"name": "echo", "arguments": {"message": "from Python"}})
    _, answer = invoke(stub, session, call)
    assert answer["result"]["content"][0]["text"] == "from Python", answer

    chunks = list(stub.InvokeStream(runtime_pb2.McpRequest(path="/mcp"), timeout=TIMEOUT))
    assert [(chunk.done, chunk.error_status) for chunk in chunks] == [(True, 405)], "a stream needs a session"

    listening = stub.InvokeStream(runtime_pb2.McpRequest(path="/mcp", session_id=session), timeout=TIMEOUT)
    first = next(listening)
    assert (first.done, first.error_status, first.status) == (False, 0, 200), first
    assert first.headers["content-type"] == "text/event-stream", first
    listening.cancel()

    print("ready for a death", flush=True)
    give_up = time.monotonic() + 60
    while not os.path.exists(KILLED):
        assert time.monotonic() < give_up, "the test never killed the workers"
        time.sleep(0.01)

    try:
        _, answer = invoke(stub, session, call)
    except grpc.RpcError as error:  # the death is seen once, and the next call succeeds
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        _, answer = invoke(stub, session, call)
    assert answer["result"]["content"][0]["text"] == "from Python", answer

    response = stub.CloseSession(runtime_pb2.McpRequest(path="/mcp", session_id=session), timeout=TIMEOUT)
    print(f"closed: {response.status}")
    response, _ = invoke(stub, session, call)
    assert response.status == 404, response


if __name__ == "__main__":
    main()
