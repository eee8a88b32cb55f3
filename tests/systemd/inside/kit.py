"""What the steps are made of. Runs as root inside of the container."""

import json
import os
import pathlib
import subprocess
import time
import traceback

import grpc

from contextforge.mcp.runtime.v1 import runtime_pb2, runtime_pb2_grpc

SERVICE = "ringside.service"
SOCKETS = ["ringside.socket", "ringside-ring.socket", "ringside-http.socket", "ringside-control.socket",
           "ringside-metrics.socket"]
RUN = pathlib.Path("/run/ringside")
PATIENCE = 20
STEPS = []


def step(function):
    """A promise, kept in the order of the file. Its name is what is printed."""
    STEPS.append(function)
    return function


def sh(*command, check=True, **options):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    assert not check or done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout.strip()


def show(unit, what):
    """A property of a unit, or of systemd itself ("")."""
    return sh("systemctl", "show", *([unit] if unit else []), "-p", what, "--value")


def is_active(unit):
    return show(unit, "ActiveState") == "active"


def main_pid():
    return int(show(SERVICE, "MainPID"))


def eventually(what, condition):
    """The first true thing that `condition` gives; looks again every few milliseconds."""
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"did not come: {what}"
        time.sleep(0.005)


def processes(name):
    """Pids by the name of their program."""
    out = sh("pgrep", "-x", name[:15], check=False)
    return [int(pid) for pid in out.split()]


def is_alive(pid):
    return os.path.exists(f"/proc/{pid}")


def ping(within=PATIENCE):
    """One call of a gRPC client that knows nothing of systemd; the seconds it took."""
    began = time.monotonic()
    with grpc.insecure_channel(f"unix:{RUN}/runtime.sock") as channel:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
        request = runtime_pb2.McpRequest(
            method="POST", path="/mcp", body=body, headers={"content-type": "application/json"}
        )
        answer = runtime_pb2_grpc.McpRuntimeStub(channel).Invoke(request, timeout=within, wait_for_ready=True)
    assert answer.status == 200 and json.loads(answer.body)["result"] == {}, answer
    return time.monotonic() - began


def tool(name, arguments, door="auto"):
    """The text that a tool answers, by the installed command."""
    out = sh("ringside", "call", "tools/call", json.dumps({"name": name, "arguments": arguments}), "--door", door)
    return json.loads(out)["result"]["content"][0]["text"]


def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run():
    """All steps; the first that fails ends them, with what systemd knows of the service."""
    for function in STEPS:
        name, began = function.__name__, time.monotonic()
        try:
            note = function() or ""
        except BaseException:
            print(f"FAILED {name}\n{traceback.format_exc()}")
            print(sh("systemctl", "status", "--no-pager", "-l", "--lines=0", SERVICE, *SOCKETS, check=False))
            print(sh("journalctl", "--no-pager", "-u", "ringside*", "-n", "60", check=False))
            return
        print(f"ok {name} [{(time.monotonic() - began) * 1000:.0f} ms] {note}")
    write("/out/passed", "")
